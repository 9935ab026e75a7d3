//! The client; see `adit::client_cli`.

fn main() -> std::process::ExitCode {
    adit::background::close_inherited();
    adit::limits::raise_descriptors();
    adit::client_cli::main()
}
