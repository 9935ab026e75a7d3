//! Terminal modes between this machine's `termios` and the opcodes of RFC 4254 §8: what the client's terminal is set to, the
//! server's pseudo-terminal becomes.

use rustix::termios::{
    ControlModes, InputModes, LocalModes, OutputModes, SpecialCodeIndex as Code, Termios,
};

/// The opcode of a speed of the input direction, in bits per second.
const INPUT_SPEED: u8 = 128;
/// The same of the output direction.
const OUTPUT_SPEED: u8 = 129;

/// A control character that is switched off, as the RFC writes it; Linux writes 0.
const OFF_ON_THE_WIRE: u32 = 255;
const OFF: u8 = 0;

/// Place of one mode in `termios`.
#[derive(Clone, Copy)]
enum Mode {
    Character(Code),
    Input(InputModes),
    Local(LocalModes),
    Output(OutputModes),
    Control(ControlModes),
}

/// Every opcode that Linux has a mode for.
const MODES: &[(u8, Mode)] = &[
    (1, Mode::Character(Code::VINTR)),
    (2, Mode::Character(Code::VQUIT)),
    (3, Mode::Character(Code::VERASE)),
    (4, Mode::Character(Code::VKILL)),
    (5, Mode::Character(Code::VEOF)),
    (6, Mode::Character(Code::VEOL)),
    (7, Mode::Character(Code::VEOL2)),
    (8, Mode::Character(Code::VSTART)),
    (9, Mode::Character(Code::VSTOP)),
    (10, Mode::Character(Code::VSUSP)),
    (12, Mode::Character(Code::VREPRINT)),
    (13, Mode::Character(Code::VWERASE)),
    (14, Mode::Character(Code::VLNEXT)),
    (16, Mode::Character(Code::VSWTC)),
    (18, Mode::Character(Code::VDISCARD)),
    (30, Mode::Input(InputModes::IGNPAR)),
    (31, Mode::Input(InputModes::PARMRK)),
    (32, Mode::Input(InputModes::INPCK)),
    (33, Mode::Input(InputModes::ISTRIP)),
    (34, Mode::Input(InputModes::INLCR)),
    (35, Mode::Input(InputModes::IGNCR)),
    (36, Mode::Input(InputModes::ICRNL)),
    (37, Mode::Input(InputModes::IUCLC)),
    (38, Mode::Input(InputModes::IXON)),
    (39, Mode::Input(InputModes::IXANY)),
    (40, Mode::Input(InputModes::IXOFF)),
    (41, Mode::Input(InputModes::IMAXBEL)),
    // RFC 8160.
    (42, Mode::Input(InputModes::IUTF8)),
    (50, Mode::Local(LocalModes::ISIG)),
    (51, Mode::Local(LocalModes::ICANON)),
    (52, Mode::Local(LocalModes::XCASE)),
    (53, Mode::Local(LocalModes::ECHO)),
    (54, Mode::Local(LocalModes::ECHOE)),
    (55, Mode::Local(LocalModes::ECHOK)),
    (56, Mode::Local(LocalModes::ECHONL)),
    (57, Mode::Local(LocalModes::NOFLSH)),
    (58, Mode::Local(LocalModes::TOSTOP)),
    (59, Mode::Local(LocalModes::IEXTEN)),
    (60, Mode::Local(LocalModes::ECHOCTL)),
    (61, Mode::Local(LocalModes::ECHOKE)),
    (62, Mode::Local(LocalModes::PENDIN)),
    (70, Mode::Output(OutputModes::OPOST)),
    (71, Mode::Output(OutputModes::OLCUC)),
    (72, Mode::Output(OutputModes::ONLCR)),
    (73, Mode::Output(OutputModes::OCRNL)),
    (74, Mode::Output(OutputModes::ONOCR)),
    (75, Mode::Output(OutputModes::ONLRET)),
    (90, Mode::Control(ControlModes::CS7)),
    (91, Mode::Control(ControlModes::CS8)),
    (92, Mode::Control(ControlModes::PARENB)),
    (93, Mode::Control(ControlModes::PARODD)),
];

/// The modes of a terminal as opcodes and arguments, in the order of the RFC's table.
pub fn encode(terminal: &Termios) -> Vec<(u8, u32)> {
    let mut modes = vec![
        (OUTPUT_SPEED, terminal.output_speed()),
        (INPUT_SPEED, terminal.input_speed()),
    ];
    modes.extend(
        MODES
            .iter()
            .map(|&(opcode, mode)| (opcode, value(terminal, mode))),
    );
    modes
}

fn value(terminal: &Termios, mode: Mode) -> u32 {
    match mode {
        Mode::Character(code) => match terminal.special_codes[code] {
            OFF => OFF_ON_THE_WIRE,
            byte => u32::from(byte),
        },
        Mode::Input(flag) => u32::from(terminal.input_modes.contains(flag)),
        Mode::Local(flag) => u32::from(terminal.local_modes.contains(flag)),
        Mode::Output(flag) => u32::from(terminal.output_modes.contains(flag)),
        Mode::Control(flag) => u32::from(terminal.control_modes.contains(flag)),
    }
}

/// Sets what the peer's terminal is set to. Opcodes and values that this machine does not know are passed over, as the RFC
/// wants it.
pub fn apply(terminal: &mut Termios, modes: &[(u8, u32)]) {
    for &(opcode, argument) in modes {
        // A speed that this kernel has no name for leaves the one there is: a pseudo-terminal has none anyway.
        match opcode {
            INPUT_SPEED => drop(terminal.set_input_speed(argument)),
            OUTPUT_SPEED => drop(terminal.set_output_speed(argument)),
            _ => {
                if let Some((_, mode)) = MODES.iter().find(|(known, _)| *known == opcode) {
                    set(terminal, *mode, argument);
                }
            }
        }
    }
}

fn set(terminal: &mut Termios, mode: Mode, argument: u32) {
    let on = argument != 0;
    match mode {
        Mode::Character(code) => {
            terminal.special_codes[code] = match u8::try_from(argument) {
                Ok(byte) if argument != OFF_ON_THE_WIRE => byte,
                _ => OFF,
            }
        }
        Mode::Input(flag) => terminal.input_modes.set(flag, on),
        Mode::Local(flag) => terminal.local_modes.set(flag, on),
        Mode::Output(flag) => terminal.output_modes.set(flag, on),
        // CS7 and CS8 are values of one field: each is set by its own opcode, and cleared by none.
        Mode::Control(size) if size == ControlModes::CS7 || size == ControlModes::CS8 => {
            if on {
                terminal.control_modes.remove(ControlModes::CSIZE);
                terminal.control_modes.insert(size);
            }
        }
        Mode::Control(flag) => terminal.control_modes.set(flag, on),
    }
}

#[cfg(test)]
mod tests {
    use rustix::pty::{OpenptFlags, openpt};
    use rustix::termios::tcgetattr;

    use super::*;

    fn terminal() -> Termios {
        let pty = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        tcgetattr(&pty).unwrap()
    }

    #[test]
    fn modes_of_one_terminal_become_those_of_another() {
        let mut ours = terminal();
        ours.local_modes
            .remove(LocalModes::ECHO | LocalModes::ICANON);
        ours.input_modes.insert(InputModes::IUTF8);
        ours.special_codes[Code::VINTR] = 0x18;
        ours.special_codes[Code::VSUSP] = OFF;
        ours.set_speed(115_200).unwrap();
        let mut theirs = terminal();
        apply(&mut theirs, &encode(&ours));
        assert_eq!(encode(&theirs), encode(&ours));
        assert_eq!(theirs.special_codes[Code::VSUSP], OFF);
        assert_eq!(theirs.input_speed(), 115_200);
    }

    #[test]
    fn control_character_that_is_off_is_255_on_the_wire() {
        let mut terminal = terminal();
        terminal.special_codes[Code::VINTR] = OFF;
        assert!(encode(&terminal).contains(&(1, 255)));
    }

    #[test]
    fn values_out_of_range_are_passed_over() {
        let mut changed = terminal();
        apply(
            &mut changed,
            &[(1, 70_000), (11, 1), (200, 1), (128, 12_345), (53, 7)],
        );
        assert_eq!(changed.special_codes[Code::VINTR], OFF);
        assert!(changed.local_modes.contains(LocalModes::ECHO));
    }

    #[test]
    fn character_size_is_one_field() {
        let mut changed = terminal();
        apply(&mut changed, &[(90, 1), (91, 0)]);
        assert_eq!(
            changed.control_modes & ControlModes::CSIZE,
            ControlModes::CS7
        );
        apply(&mut changed, &[(90, 1), (91, 1)]);
        assert_eq!(
            changed.control_modes & ControlModes::CSIZE,
            ControlModes::CS8
        );
    }
}
