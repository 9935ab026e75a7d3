//! The server; see `adit::server_cli`.

fn main() -> std::process::ExitCode {
    adit::server_cli::main()
}
