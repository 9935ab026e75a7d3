//! Times of the core's hot paths: `cargo bench -p adit-bench`.

use std::cell::RefCell;

use adit_bench::work::channels::Table;
use adit_bench::work::packets::Packets;
use adit_bench::work::windows::Windows;
use adit_bench::work::{CHANNELS, CIPHERS, SIZES};
use adit_proto::cipher::CipherName;
use divan::Bencher;
use divan::counter::BytesCount;

fn main() {
    divan::main();
}

/// Cipher and payload of a packet.
#[derive(Debug, Clone, Copy)]
struct Shape(CipherName, usize);

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.0, self.1)
    }
}

fn shapes() -> impl Iterator<Item = Shape> {
    CIPHERS
        .into_iter()
        .flat_map(|cipher| SIZES.map(|size| Shape(cipher, size)))
}

#[divan::bench(args = shapes(), sample_size = 32)]
fn seal(bencher: Bencher<'_, '_>, &Shape(cipher, size): &Shape) {
    let mut packets = Packets::new(cipher, size);
    bencher
        .counter(BytesCount::new(size))
        .bench_local(|| packets.seal());
}

/// One packet at a time is sealed for it, outside of what is timed.
#[divan::bench(args = shapes(), sample_size = 1, sample_count = 2000)]
fn open(bencher: Bencher<'_, '_>, &Shape(cipher, size): &Shape) {
    let packets = RefCell::new(Packets::new(cipher, size));
    bencher
        .counter(BytesCount::new(size))
        .with_inputs(|| packets.borrow_mut().seal())
        .bench_local_values(|()| packets.borrow_mut().open());
}

#[divan::bench(args = CHANNELS, sample_size = 1000)]
fn channel_turn(bencher: Bencher<'_, '_>, count: usize) {
    let mut table = Table::new(count);
    bencher.bench_local(|| table.turn());
}

#[divan::bench]
fn window_exchange(bencher: Bencher<'_, '_>) {
    let mut windows = Windows::new();
    bencher.bench_local(|| windows.exchange());
}
