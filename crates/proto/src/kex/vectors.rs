//! Known answers for the tests: how they were made stands beside them.

use zeroize::Zeroizing;

use super::{ExchangeInput, KexAlgorithm, SharedSecret};

/// Bytes from hexadecimal digits; for constants in tests.
pub(crate) fn hex(digits: &str) -> Vec<u8> {
    assert!(digits.len().is_multiple_of(2), "odd number of hex digits");
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex digits"))
        .collect()
}

/// RFC 7748 §6.1: Alice's private and public key, Bob's, and what they share.
pub(super) const ALICE: &str = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a";
pub(super) const ALICE_PUBLIC: &str =
    "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a";
pub(super) const BOB: &str = "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb";
pub(super) const BOB_PUBLIC: &str =
    "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f";
pub(super) const ALICE_BOB_SHARED: &str =
    "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";

/// A key exchange: what goes into the hash, what comes out.
///
/// Made with Python's `hashlib` and a dozen lines of `struct.pack(">I", len(b)) + b`, independent of
/// this crate: strings `V_C V_S I_C I_S K_S Q_C Q_S`, then `K` as mpint (or as string for the hybrid);
/// keys as RFC 4253 §7.2 says, the last one longer than two outputs of every hash. The secret of
/// P-384 has its top bit set, that of P-521 leading zeros.
pub(super) struct Exchange {
    pub(super) algorithm: KexAlgorithm,
    client_init: &'static str,
    server_reply: &'static str,
    secret: &'static str,
    pub(super) exchange_hash: &'static str,
    /// Letter and key; the session identifier is [`SESSION_ID`].
    pub(super) keys: [(u8, &'static str); 3],
}

impl Exchange {
    pub(super) fn secret(&self) -> SharedSecret {
        let bytes = Zeroizing::new(hex(self.secret));
        match self.algorithm {
            KexAlgorithm::MlKem768X25519Sha256 => SharedSecret::string(bytes),
            _ => SharedSecret::mpint(bytes),
        }
    }

    /// `H` over the fixed handshake and this exchange's public values.
    pub(super) fn hash(&self, edit: impl FnOnce(&mut ExchangeInput<'_>)) -> Vec<u8> {
        let (client_init, server_reply) = (hex(self.client_init), hex(self.server_reply));
        let mut input = ExchangeInput {
            client_ident: b"SSH-2.0-adit_0.1",
            server_ident: b"SSH-2.0-OpenSSH_9.2",
            client_kexinit: b"\x14client kexinit",
            server_kexinit: b"\x14server kexinit",
            host_key_blob: b"host key blob",
            group: &[],
            client_init: &client_init,
            server_reply: &server_reply,
        };
        edit(&mut input);
        input.exchange_hash(self.algorithm, &self.secret())
    }
}

/// The session identifier of [`EXCHANGES`]: that of an earlier exchange, not `H` itself.
pub(super) const SESSION_ID: &[u8] = b"session id of the first exchange";

pub(super) const EXCHANGES: &[Exchange] = &[
    Exchange {
        algorithm: KexAlgorithm::Curve25519Sha256,
        client_init: "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
        server_reply: "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
        secret: "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
        exchange_hash: "c9195d2d4ccfbe54d311073c970cd524fb74614ad81d2c8c687119af344dd845",
        keys: [
            (b'A', "3df095e59d4373d5da00dc3c"),
            (
                b'D',
                "1a9b53fead798dd48b57a05153b01342fb5b1a10626153e219658ea541833bae8cf05433e1e980b20627171794e1bc08b6b157c063f156c31fd7ee613747e92f",
            ),
            (
                b'F',
                "d8558901a9b0fa6bc8640258734141d1d93adee73310ad9fae9d9fd502d871970d77e473eff1523b949c52f330ab172407c23d4681e1bebe9b97b8d4d7de276fdc28c1ffc8ce45e75fddf861f1c162c4e8cf7a460652358b56c2f5eee85611931c4f0cf73be416098a0fed143f1245ab811055892aa84b8062ee28c2158e04be08d7",
            ),
        ],
    },
    Exchange {
        algorithm: KexAlgorithm::EcdhNistp384,
        client_init: "515f43",
        server_reply: "515f53",
        secret: "800707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707",
        exchange_hash: "3a017fc65aa5bed436e063f0c29e00d09021f04bffc5be2425599ed237f6a7774b33d3e79fde421c72869b35370024d8",
        keys: [
            (b'A', "2ef96822390e9b1b012fa526"),
            (
                b'D',
                "725862fe7782184b3644f8a0040c5aec41a80a86277d2b1a6cdf10593d9bbb33c4a01f43268f7fc211de501917ad8af0c330a3cc9d574949a5a88d661c86a546",
            ),
            (
                b'F',
                "3f71b1091c7ecb4e32c4ca8bf660e721acc68df13d57dcee6f3cd83254372f0e105c7f8122e277759cc742129cfe76d423c24db41a9a2365bb455f802c1d7c7e61b373683005c4dd64ce9cfaecce220c463fbd216b5abbd17ff6a9f70616c84b21ebda77bce2875afbd563be15b2cf1ab5fc1013f61292b18b99b9871d764d8fa33d",
            ),
        ],
    },
    Exchange {
        algorithm: KexAlgorithm::EcdhNistp521,
        client_init: "515f43",
        server_reply: "515f53",
        secret: "00007f090909090909090909090909090909090909090909090909090909090909090909090909090909090909090909090909090909090909090909090909090909",
        exchange_hash: "6576f5cec311db334d085b26fcb831f00165c1face3eb8299093a736a9cac443806cd6d560b0d789fae795fa26c1310311a0a3280cba08592e2c220361cfeb30",
        keys: [
            (b'A', "5cd06df8a83d81464f770c33"),
            (
                b'D',
                "b75ad644416adb472b00e2f3aa26ab01421f971077576709522b486b1ceec20ee74da60df844e9610fa3cbf64456f320d64109c0040bc02ecbdf132aec588ed4",
            ),
            (
                b'F',
                "cf689b8c09ad9dae7f51bb4b0dda038e8c7e40407490995257eb9e9c8388294fad445ca1c759714c3338c362aedecc0ef9278ce5fe64552a64b2fac917694ab52536399b6b1e4852e590c84a3ff9863b2a789aee0151241d2e41b33452ea4735fc11522aa1a28e91e70aacfd71783979b0a9f9973af75732de2a3d7e512367810ac1",
            ),
        ],
    },
    Exchange {
        algorithm: KexAlgorithm::MlKem768X25519Sha256,
        client_init: "435f494e4954",
        server_reply: "535f5245504c59",
        secret: "184e1a66dc878c918acaf58add91eeab4937ec89281c2b9d574e062ab105e9f7",
        exchange_hash: "54522b7863af99fdae5eb2415e7141a82ed792abc32365943f989b0eff10cc43",
        keys: [
            (b'A', "7bbf16c35c307b5d12856276"),
            (
                b'D',
                "7ee3f73d212f70043b51d2b7902d9239d38d9b15f1250c5380fad45a76965ef9c6dc3ef4606b5c246ce8487675fff75a15fe1e3991f7b12b6c40dfdbdac55d84",
            ),
            (
                b'F',
                "9e17d8f578318c7f410bbf3dba99464e9c0350347b4a693c8bdcfa8a13cefb05214c9431e97f0682549d59f2d8f3bb437fb6f373975d7a6c0539ecfef8a4f8c7b5cfe40cf4eaac1de52ee8dca3fd4a23da5b63be142b10e6dea5f9acb0bd7569e7bdefc62fa25f32a696d809fe916680e86ab75a2db7f1884cdf78ff24b161214ee5",
            ),
        ],
    },
];
