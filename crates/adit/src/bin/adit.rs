//! The client; see `adit::client_cli`.

fn main() -> std::process::ExitCode {
    adit::client_cli::main()
}
