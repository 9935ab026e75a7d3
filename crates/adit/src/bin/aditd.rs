//! The server; see `adit::server_cli`.

fn main() -> std::process::ExitCode {
    adit::background::close_inherited();
    adit::server_cli::main()
}
