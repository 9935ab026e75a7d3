//! Writes the seeds of `fuzz/corpus/`: `cargo run -p adit-fuzz-cases --example seed`.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use adit_proto::message::connection::{ChannelType, GlobalRequest, Open, TcpAddresses};
use adit_proto::message::kex::KexInit;
use adit_proto::message::transport::{Disconnect, DisconnectReason, ExtInfo};
use adit_proto::message::userauth::{Failure, Method, Request};
use adit_proto::wire::Writer;

fn write(target: &str, seeds: Vec<Vec<u8>>) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../corpus")
        .join(target);
    std::fs::create_dir_all(&directory).unwrap();
    for (n, seed) in seeds.into_iter().enumerate() {
        std::fs::write(directory.join(format!("seed-{n:02}")), seed).unwrap();
    }
}

/// Bytes in which each of the programs' small numbers occurs often.
fn program(seed: u32, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state >> 9) as u8
        })
        .collect()
}

fn programs(lens: &[usize]) -> Vec<Vec<u8>> {
    (1..).zip(lens).map(|(n, &len)| program(n, len)).collect()
}

fn messages() -> Vec<Vec<u8>> {
    let words = |words: &[&str]| words.iter().map(|&w| w.to_owned()).collect::<Vec<_>>();
    let open = Open {
        channel_type: ChannelType::DirectTcpip(TcpAddresses {
            host: "db".into(),
            port: 5432,
            originator_address: "127.0.0.1".into(),
            originator_port: 1,
        }),
        sender_channel: 1,
        initial_window_size: 2,
        maximum_packet_size: 3,
    };
    let goodbye = Disconnect {
        reason: DisconnectReason::BY_APPLICATION,
        description: "done".into(),
    };
    let kexinit = KexInit {
        kex_algorithms: words(&["curve25519-sha256", "ext-info-c"]),
        ..KexInit::default()
    };
    let ext_info = ExtInfo {
        server_sig_algs: Some(words(&["ssh-ed25519"])),
        ping: true,
    };
    let failure = Failure {
        methods: words(&["publickey"]),
        partial_success: false,
    };
    let request = Request {
        user: "u",
        service: "ssh-connection",
        method: Method::PublicKey {
            algorithm: "ssh-ed25519",
            key: b"key",
            signature: Some(b"sig"),
        },
    };
    let mut ed25519 = Writer::new();
    ed25519.string("ssh-ed25519").string([7; 32]);
    vec![
        open.encode(),
        goodbye.encode(),
        kexinit.encode(),
        ext_info.encode(),
        failure.encode(),
        request.encode().to_vec(),
        GlobalRequest::TcpipForward {
            address_to_bind: "localhost".into(),
            port: 0,
        }
        .encode(),
        ed25519.into_vec(),
        vec![0, 0, 0, 2, 0, 0x80],
    ]
}

fn main() {
    let lines: [&[u8]; 6] = [
        b"\0SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
        b"\0welcome\r\nto this\nhost\r\nSSH-2.0-adit_0.1.0\r\n",
        b"\x01SSH-2.0-client\n",
        b"\x01GET / HTTP/1.1\r\n\r\n",
        b"\0SSH-1.99-old\r\n",
        b"\0SSH-1.5-older\r\n",
    ];
    write("identification", lines.map(<[u8]>::to_vec).to_vec());
    write("messages", messages());
    write("packets", programs(&[64, 300, 2000, 4000, 8000]));
    write("key_exchange", programs(&[64, 100, 300, 600, 1000, 1500]));
    write("authentication", programs(&[64, 100, 300, 600, 1000, 1500]));
    write(
        "channel_operations",
        programs(&[100, 400, 1000, 3000, 6000, 12_000]),
    );
}
