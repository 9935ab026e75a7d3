//! Writes the seeds of `fuzz/corpus/`: `cargo run -p adit-fuzz-cases --example seed`.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use adit_proto::message::connection::{ChannelType, GlobalRequest, Open, TcpAddresses};
use adit_proto::message::kex::KexInit;
use adit_proto::message::session::{SessionRequest, SignalName, TerminalModes, TerminalSize};
use adit_proto::message::transport::{Disconnect, DisconnectReason, ExtInfo};
use adit_proto::message::userauth::{Failure, Method, UserauthRequest};
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
        early_data: Some(32 << 10),
    };
    let failure = Failure {
        methods: words(&["publickey"]),
        partial_success: false,
    };
    let request = UserauthRequest {
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

/// The first byte chooses the type.
fn session_requests() -> Vec<Vec<u8>> {
    let requests = [
        SessionRequest::Pty {
            term: "xterm".into(),
            size: TerminalSize::default(),
            modes: TerminalModes(vec![(129, 38_400), (128, 38_400), (1, 3), (53, 1)]),
        },
        SessionRequest::Env {
            name: "LANG".into(),
            value: b"C".to_vec(),
        },
        SessionRequest::Shell,
        SessionRequest::Exec {
            command: b"uptime".to_vec(),
        },
        SessionRequest::Subsystem {
            name: "sftp".into(),
        },
        SessionRequest::WindowChange(TerminalSize::default()),
        SessionRequest::XonXoff {
            client_can_do: true,
        },
        SessionRequest::Signal(SignalName::Int),
        SessionRequest::ExitStatus(1),
        SessionRequest::ExitSignal {
            signal: SignalName::Segv,
            core_dumped: true,
            message: "gone".into(),
        },
        SessionRequest::Break { milliseconds: 500 },
    ];
    let seed = |(n, request): (u8, &SessionRequest)| [&[n][..], &request.encode_fields()].concat();
    let mut seeds: Vec<_> = (0..).zip(&requests).map(seed).collect();
    seeds.extend(programs(&[20, 60, 200]));
    seeds
}

/// A seed whose first bytes choose what the text behind them is read as.
fn texts(prefix: &[u8], texts: &[&str]) -> Vec<Vec<u8>> {
    let seed = |text: &&str| [prefix, text.as_bytes()].concat();
    texts.iter().map(seed).collect()
}

fn forward_specs() -> Vec<Vec<u8>> {
    let mut seeds = texts(
        &[0],
        &[
            "8080:db:5432",
            "*:8080:[::1]:http",
            " [::1]:${PORT}:[fe80::1%eth0]:80:",
            "${HOME}/a:/tmp/b\\:c",
            "[/tmp/a]b]:0",
            "a\\:b:0:/srv/x",
            "localhost:1080",
            ":nil:h:+080",
            "${ODD}${BIG}:1:h]\\[:2",
            "$\\{HOME}:1:h:2",
        ],
    );
    seeds.extend(marked(1, programs(&[24, 40, 80, 120])));
    seeds
}

/// Programs behind the byte that says that they are some.
fn marked(mark: u8, programs: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let marked = |program: Vec<u8>| [&[mark], program.as_slice()].concat();
    programs.into_iter().map(marked).collect()
}

fn socks() -> Vec<Vec<u8>> {
    let streams: [&[u8]; 8] = [
        b"\x05\x02\x00\x01\x05\x01\x00\x01\x7f\x00\x00\x01\x1f\x90GET /",
        b"\x05\x01\x00\x05\x01\x00\x03\x0bdb.internal\x158",
        b"\x05\x01\x00\x05\x01\x00\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x00P",
        b"\x05\x01\x02",
        b"\x05\x01\x00\x05\x03\x00\x01\x7f\x00\x00\x01\x1f\x90",
        b"\x04\x01\x1f\x90\x7f\x00\x00\x01\x00",
        b"\x04\x01\x158\x00\x00\x00\x01me\x00db.internal\x00data",
        b"CONNECT db.internal:5432 HTTP/1.1\r\n\r\n",
    ];
    let sizes = [0, 2, 1, 6, 0, 0, 255, 3];
    let stream = |stream: &&[u8]| [&[0], &sizes[..], stream].concat();
    let mut seeds: Vec<_> = streams.iter().map(stream).collect();
    // A user and a name without end.
    for start in [&b"\x04\x01\0P\x7f\0\0\x01"[..], b"\x04\x01\0P\0\0\0\x01u\0"] {
        let mut endless = start.to_vec();
        endless.resize(700, b'u');
        seeds.push(stream(&endless.as_slice()));
    }
    seeds.extend(marked(1, programs(&[40, 80, 160, 320])));
    seeds
}

/// The bytes 0x80 and 0x81 stand for keys, here and in `known_hosts`.
fn authorized_keys() -> Vec<Vec<u8>> {
    // Some time in 1972 in UTC, a peer at 192.0.2.7.
    let prefix = [0, 0, 4, 0, 0, 0, 1, 0x51, 0x80, 1, 7];
    let lines: [&[u8]; 7] = [
        b"# comment\n\n\x81 other\r\n \t\x80 me\r\n",
        b"restrict,Port-Forwarding,permitopen=\"db:5432\",permitlisten=\"[::1]:*\",permitlisten=\"8080\" \x80\n\x80\n",
        b"from=\"192.0.2.0/24,!192.0.2.128/25,2001:DB8:*,*.example\" \x80\nfrom=\"!192.0.2.?,*\" \x80\n",
        b"expiry-time=\"19700101\" \x80\nexpiry-time=\"209912312359Z\",expiry-time=\"20991231235959UTC\" \x80 x\n",
        b"command=\"echo \\\"a, b\\\" \\\\ c\",environment=\"A=1\",environment=\"B_1=x=y\" \x80\n",
        b"cert-authority,principals=\"a\" \x80\ntunnel=\"0\" \x80\nverify-required,pty=x \x80\nno-pty,user-rc \x80",
        b"no-port-forwarding,x11-forwarding,no-agent-forwarding\t\x80\xff\nssh-ed25519 AAAA\n",
    ];
    let file = |line: &&[u8]| [&prefix, *line].concat();
    let mut seeds: Vec<_> = lines.iter().map(file).collect();
    seeds.extend(marked(1, programs(&[60, 120, 200, 300, 300])));
    seeds
}

fn known_hosts() -> Vec<Vec<u8>> {
    let files: [&[u8]; 6] = [
        b"\0\0\0# comment\na.example,10.0.0.1 \x80 me@there\nb.example \x81\n",
        b"\0\0\x01[a.example]:2222 \x81\r\na.example \x80\r\n",
        b"\0\x01\0*.example,!b.* \x81\n\xffa.example \x80\n",
        b"\0\0\0@revoked * \x80\n@cert-authority *.example \x80\n@other x y z\n",
        b"\0\x03\x01|1|AAAAAAAAAAAAAAAAAAAAAAAAAAA=|AAAAAAAAAAAAAAAAAAAAAAAAAAA= \x80\n[::1]:2222 \x81\n",
        b"\0\x04\0h ssh-rsa AAAAB3NzaC1yc2E=\nh ssh-ed25519 !!!\nh ssh-dss AAAAB3NzaC1yc2E=\nh\n",
    ];
    let mut seeds: Vec<_> = files.map(<[u8]>::to_vec).to_vec();
    seeds.extend(marked(1, programs(&[60, 120, 200, 300, 300])));
    seeds
}

/// Client files behind a 0, server files behind a 1; 0xff ends a file.
fn config_files() -> Vec<Vec<u8>> {
    let mut seeds = texts(
        &[0],
        &[
            "Host web !db *.example\nHostName %h.example.org\nUser eve\nPort 2222\nAddressFamily inet6\nBindAddress 127.0.0.1\nConnectTimeout 1m30s\nTCPKeepAlive no\nProxyJump a@b:22,ssh://c%20d@[::1]:2200/\nHost *\nProxyCommand none\n",
            "IdentityFile ~/.ssh/id_%h\nIdentityFile ~bob/${DIR}/%u\nIdentityFile \"${BIG}${BIG}${BIG}${BIG}\"\nIdentitiesOnly yes\nIdentityAgent ${ODD}/agent\nPreferredAuthentications publickey,password\nPubkeyAuthentication host-bound\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nNumberOfPasswordPrompts 1\nBatchMode yes\n",
            "UserKnownHostsFile ~/%k %d/x\nGlobalKnownHostsFile none\nStrictHostKeyChecking accept-new\nHashKnownHosts yes\nHostKeyAlias %n\nNoHostAuthenticationForLocalhost yes\nLogLevel DEBUG3\nForkAfterAuthentication yes\nStdinNull no\nSessionType none\nRequestTTY force\nIgnoreUnknown no*,!nope\nNonsense x\n",
            "LocalForward 8080 db:5432\nLocalForward /tmp/%h [::1]:80\nRemoteForward 0 /tmp/x\nRemoteForward 1080\nDynamicForward *:1080\nClearAllForwardings no\nGatewayPorts yes\nExitOnForwardFailure yes\nPermitRemoteOpen db:5432 [::1]:*\nStreamLocalBindMask 0117\nStreamLocalBindUnlink yes\n",
            "ServerAliveInterval=15\nServerAliveCountMax = 3\nCompression yes\nRekeyLimit 1.5G 1h\nCiphers -aes*\nMACs +hmac-sha1\nKexAlgorithms ^curve25519-sha256\nHostKeyAlgorithms ssh-ed25519*\nPubkeyAcceptedAlgorithms rsa-sha2-512,ssh-dss\nForwardAgent yes\nSendEnv LANG\nCipher blowfish\n",
            "Match host web user eve\nPort 1\nMatch !originalhost=web exec \"true\"\nPort 2\nMatch all\nPort 3\nMatch localuser e*,!x final\nUser x\n",
        ],
    );
    let includes: [&[u8]; 5] = [
        b"\0Include a b.conf\nHost web\nInclude c.conf\n\xffHost none\nUser x\n\xffPort 1\n\xff\"User\" 'a b'\n",
        b"\0Include config\n",
        b"\0Host nobody\nInclude a\n\xffHost web\nUser x\nInclude b.conf\n\xffPort 1\n",
        b"\x01Include *.conf\nPort 22\n\xffInclude a\n\xffInclude a\n\xffPort 2222 # x\n",
        b"\x01Include a\nInclude a\n\xffInclude b.conf\nInclude b.conf\n\xffInclude c.conf\nInclude c.conf\n\xffPrintMotd no\n",
    ];
    seeds.extend(includes.map(<[u8]>::to_vec));
    // More mistakes, and more warnings, than are told.
    let mistakes = ["x\n".repeat(120), "Tag x\n".repeat(120)];
    seeds.extend(texts(&[0], &mistakes.each_ref().map(String::as_str)));
    seeds.extend(texts(
        &[1],
        &[
            "Port 22\nPort 2222\nListenAddress 127.0.0.1\nListenAddress [::1]:2200\nAddressFamily any\nTCPKeepAlive yes\nPidFile none\nLogLevel VERBOSE\nMaxStartups 10:30:100\nHostKey /k\nStrictModes no\nLoginGraceTime 2m\nMaxAuthTries 3\nPubkeyAuthentication yes\nPermitRootLogin without-password\n",
            "AuthorizedKeysFile .ssh/%u %%/%h/%U\nAllowUsers eve root@10.0.0.0/8,!10.1.0.0/16 *@fe80::/10\nDenyUsers eve@10.1.2.*\nAllowTcpForwarding remote\nAllowStreamLocalForwarding local\nDisableForwarding no\nGatewayPorts clientspecified\nPermitOpen db:5432 [::1]:*\nPermitListen 8080 localhost:*\nStreamLocalBindMask 0177\nStreamLocalBindUnlink yes\n",
            "ClientAliveInterval 15\nClientAliveCountMax 0\nCompression delayed\nRekeyLimit default none\nCiphers aes256-gcm@openssh.com\nMACs hmac-sha2-256\nKexAlgorithms +sntrup761x25519-sha512\nHostKeyAlgorithms -ssh-rsa\nPubkeyAcceptedKeyTypes ^ssh-ed25519\nForceCommand none\nUsePAM yes\nSubsystem sftp internal-sftp\nUseLogin no\nMatch all\n",
            "AllowGroups x\nMatch User eve\nPort 0\nNonsense\nPort\nPort 1 2\nCiphers none\nPermitOpen any x\nInclude ~/x\nPidFile \"x\n",
        ],
    ));
    seeds
}

fn main() {
    let long_line = format!("\0{}\r\nSSH-2.0-x\r\n", "*".repeat(300));
    let lines: [&[u8]; 7] = [
        b"\0SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
        b"\0welcome\r\nto this\nhost\r\nSSH-2.0-adit_0.1.0\r\n",
        b"\x01SSH-2.0-client\n",
        b"\x01GET / HTTP/1.1\r\n\r\n",
        b"\0SSH-1.99-old\r\n",
        b"\0SSH-1.5-older\r\n",
        long_line.as_bytes(),
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
    write("global_requests", programs(&[20, 100, 300]));
    write("session_requests", session_requests());
    write("forward_specs", forward_specs());
    write("socks", socks());
    write("authorized_keys", authorized_keys());
    write("known_hosts", known_hosts());
    write("config_files", config_files());
}
