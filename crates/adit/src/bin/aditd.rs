//! The server; see `adit::server_cli`.

use std::process::ExitCode;

use adit_tunnel::session::remote::start;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if start::is_asked_for(std::env::args_os().nth(1).as_deref()) {
        arguments.next();
        let Err(error) = start::become_program(arguments);
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    adit::background::close_inherited();
    adit::limits::keep_memory_private();
    adit::limits::raise_descriptors();
    adit::server_cli::main()
}
