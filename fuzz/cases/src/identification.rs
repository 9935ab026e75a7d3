//! The first lines of a connection, in one piece and byte by byte.

use adit_proto::Side;
use adit_proto::error::Misbehaviour;
use adit_proto::ident::{IdentReader, Progress};

/// The longest other line of a server, with its line end.
const OTHER_LINE: usize = 8194;
/// The longest input that is looked at, with room for more than one such line: byte by byte is quadratic.
const LONGEST: usize = 10_000;

/// Both ways of arriving give the same, an identification is one printable line, and so much is held for it at most.
pub fn identification(data: &[u8]) {
    let Some((&side, data)) = data.split_first() else {
        return;
    };
    let side = match side % 2 {
        0 => Side::Client,
        _ => Side::Server,
    };
    let data = &data[..data.len().min(LONGEST)];
    let whole = read(side, data, data.len().max(1));
    assert_eq!(whole, read(side, data, 1), "it depends on the pieces");
    if let Ok(Some(line)) = whole {
        assert!(line.len() < 255 && line.starts_with("SSH-"));
        assert!(line.bytes().all(|b| (0x20..0x7f).contains(&b)));
    }
}

fn read(side: Side, data: &[u8], piece: usize) -> Result<Option<String>, Misbehaviour> {
    let mut reader = IdentReader::new(side);
    let mut start = 0;
    let mut arrived = 0;
    loop {
        match reader.read(&data[start..arrived])? {
            Progress::Ident(line, consumed) => {
                assert!(consumed <= arrived - start);
                return Ok(Some(line));
            }
            Progress::OtherLine(consumed) => {
                assert!((1..=arrived - start).contains(&consumed));
                assert!(consumed <= OTHER_LINE && side == Side::Client);
                start += consumed;
            }
            Progress::Incomplete if arrived - start >= OTHER_LINE => panic!("it waits for more"),
            Progress::Incomplete if arrived == data.len() => return Ok(None),
            Progress::Incomplete => arrived = data.len().min(arrived + piece),
        }
    }
}
