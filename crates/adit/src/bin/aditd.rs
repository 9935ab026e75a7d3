//! The server; see `adit::server_cli`.

fn main() -> std::process::ExitCode {
    adit::background::close_inherited();
    adit::limits::keep_memory_private();
    adit::limits::raise_descriptors();
    adit::server_cli::main()
}
