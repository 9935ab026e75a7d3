//! Programs that people use through tunnels: curl with and without SOCKS, psql against a real PostgreSQL.

mod postgres;

use adit_interop::forward::{Address, Forward};
use adit_interop::matrix::Pairing;
use adit_interop::missing::{self, Missing};
use adit_interop::need;
use adit_interop::peer::{ClientAsk, ServerAsk};
use adit_interop::ports::free_port;
use adit_interop::process;
use adit_interop::scratch::{Key, Scratch};
use adit_interop::traffic::WebServer;
use postgres::Postgres;
use std::path::PathBuf;
use std::process::Command;

adit_interop::each_pairing! {
    [
        curl_through_local
        curl_through_dynamic
        curl_through_remote_dynamic
        curl_through_a_client_in_the_background
        psql_through_local
    ]
    adit_to_aditd: Adit => Adit;
    adit_to_openssh: Adit => OpenSsh;
    openssh_to_aditd: OpenSsh => Adit;
}

fn curl_through_local(pairing: &Pairing) {
    let curl = need!(Curl::find(pairing.scratch()));
    let web = WebServer::on("127.0.0.1:0");
    let forward = Forward::local(Address::loopback(free_port()), web.address().clone());
    let url = format!("http://{}/page", forward.listen());
    let server = pairing.serve(&ServerAsk::default());
    let _client = pairing.connect(&server, &ClientAsk::forwards([forward]));
    let page = curl.get(&["-H", "Host: shop.example", &url]);
    assert_eq!(page, "host=shop.example path=/page\n");
    let plain = curl.get(&[&url]);
    assert!(plain.starts_with("host=127.0.0.1:"), "{plain}");
}

fn curl_through_dynamic(pairing: &Pairing) {
    let curl = need!(Curl::find(pairing.scratch()));
    let forward = Forward::dynamic(Address::loopback(free_port()));
    let proxy = forward.listen().to_string();
    let server = pairing.serve(&ServerAsk::default());
    let _client = pairing.connect(&server, &ClientAsk::forwards([forward]));
    curl.get_by_every_socks(&proxy);
}

fn curl_through_remote_dynamic(pairing: &Pairing) {
    let curl = need!(Curl::find(pairing.scratch()));
    let forward = Forward::RemoteDynamic {
        listen: Address::loopback(free_port()),
    };
    let proxy = forward.listen().to_string();
    let server = pairing.serve(&ServerAsk::default());
    let _client = pairing.connect(&server, &ClientAsk::forwards([forward]));
    curl.get_by_every_socks(&proxy);
}

/// `-f -N -D`: the command returns 0 when the tunnel is up, and the tunnel stays.
fn curl_through_a_client_in_the_background(pairing: &Pairing) {
    let curl = need!(Curl::find(pairing.scratch()));
    let web = WebServer::on("127.0.0.1:0");
    let forward = Forward::dynamic(Address::loopback(free_port()));
    let proxy = format!("socks5h://{}", forward.listen());
    let server = pairing.serve(&ServerAsk::default());
    let ask = ClientAsk::forwards([forward]).with_args(&["-f"]);
    let background = Background {
        key: pairing.scratch().key(Key::User),
    };
    let (code, log) = pairing.launch(&server, &ask).end();
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(
        background.processes().len(),
        1,
        "one process holds the tunnel"
    );
    let page = curl.get(&["--proxy", &proxy, &format!("http://{}/", web.address())]);
    assert_eq!(page, format!("host={} path=/\n", web.address()));
}

fn psql_through_local(pairing: &Pairing) {
    let scratch = pairing.scratch();
    let database = need!(Postgres::start(scratch));
    let forward = Forward::local(
        Address::loopback(free_port()),
        Address::loopback(database.port),
    );
    let port = forward.listen().port();
    let server = pairing.serve(&ServerAsk::default());
    let _client = pairing.connect(&server, &ClientAsk::forwards([forward]));
    let sum = database.query(
        scratch,
        port,
        "select sum(n) from generate_series(1, 200000) n",
    );
    assert_eq!(sum.trim(), "20000100000");
    let wide = database.query(scratch, port, "select repeat('tunnel', 200000)");
    assert_eq!(wide.trim().len(), 6 * 200_000);
}

/// The clients of one test that have left for the background, known by the key that only they were given; ended when
/// the test is.
struct Background {
    key: PathBuf,
}

impl Background {
    fn processes(&self) -> Vec<u32> {
        process::naming(&self.key)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        for pid in self.processes() {
            process::signal(&pid.to_string(), "TERM");
        }
    }
}

/// curl, unmoved by the environment.
struct Curl<'a> {
    program: PathBuf,
    scratch: &'a Scratch,
}

impl<'a> Curl<'a> {
    fn find(scratch: &'a Scratch) -> Result<Self, Missing> {
        Ok(Self {
            program: missing::program("curl", "apt-get install curl")?,
            scratch,
        })
    }

    fn get(&self, args: &[&str]) -> String {
        // Nothing of the environment, where proxies may be named.
        let mut command = Command::new("env");
        command
            .arg("-i")
            .arg(format!("HOME={}", self.scratch.home().display()))
            .arg(&self.program)
            .args([
                "--silent",
                "--show-error",
                "--fail",
                "--max-time",
                "20",
                "--noproxy",
                "",
            ])
            .args(args);
        process::run("curl", command, self.scratch.path())
    }

    /// Every version of SOCKS that curl speaks, to a name and to addresses of both families.
    fn get_by_every_socks(&self, proxy: &str) {
        let four = WebServer::on("127.0.0.1:0");
        let six = WebServer::on("[::1]:0");
        let urls = |hosts: &[&str]| -> Vec<String> {
            let port = |host: &&str| {
                if host.starts_with('[') {
                    six.port()
                } else {
                    four.port()
                }
            };
            hosts
                .iter()
                .map(|host| format!("http://{host}:{}/", port(host)))
                .collect()
        };
        for (version, hosts) in [
            ("socks4", ["127.0.0.1", "localhost"].as_slice()),
            ("socks4a", &["127.0.0.1", "localhost"]),
            ("socks5", &["127.0.0.1", "localhost", "[::1]"]),
            ("socks5h", &["127.0.0.1", "localhost", "[::1]"]),
        ] {
            for url in urls(hosts) {
                // socks4 has no IPv6, and curl would try ::1 for localhost first.
                let family: &[&str] = if url.contains("localhost") {
                    &["-4"]
                } else {
                    &[]
                };
                let proxy = format!("{version}://{proxy}");
                let page = self.get(&[family, &["--proxy", &proxy, &url]].concat());
                let host = url.trim_start_matches("http://").trim_end_matches('/');
                assert_eq!(page, format!("host={host} path=/\n"), "{version} to {url}");
            }
        }
    }
}
