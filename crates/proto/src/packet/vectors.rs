//! Known answers for every cipher.
//!
//! Made once with Python: the packets built from the primitives of `cryptography` (AESGCM, AES
//! in CTR mode, ChaCha20 and Poly1305) and `hmac`, and each compared with what asyncssh's
//! `get_encryption(..).encrypt_packet` gives for the same input. Key bytes are 1, 2, 3, …; MAC key
//! bytes 0x40, 0x41, …; the first four bytes of the initialization vector (eight for CTR) 0xa0,
//! 0xa1, …, the rest 0xff…fe, so that the counter wraps; padding is 0, 1, 2, … on from packet to
//! packet; sequence numbers start at 0.

use zeroize::Zeroizing;

use super::{Body, HEADER_LEN, Opened, Opener, Sealer, SequenceReset};
use crate::cipher::{CipherName, DirectionKeys, MacName};

struct Vector {
    cipher: CipherName,
    mac: Option<MacName>,
    /// The packets of [`payloads`] in hexadecimal.
    packets: [&'static str; 3],
}

fn payloads() -> [Vec<u8>; 3] {
    [
        vec![0x15],
        b"adit opens in place".to_vec(),
        (0..40).collect(),
    ]
}

impl Vector {
    fn keys(&self) -> DirectionKeys {
        let counted = |from: u8, n: usize| {
            (0..n)
                .map(|i| from.wrapping_add(i as u8))
                .collect::<Vec<_>>()
        };
        let iv = match self.cipher.iv_len() {
            0 => vec![],
            n => [counted(0xa0, n - 8), vec![0xff; 7], vec![0xfe]].concat(),
        };
        DirectionKeys {
            cipher: self.cipher,
            mac: self.mac,
            key: Zeroizing::new(counted(1, self.cipher.key_len())),
            iv: Zeroizing::new(iv),
            mac_key: Zeroizing::new(counted(0x40, self.mac.map_or(0, MacName::key_len))),
        }
    }
}

fn from_hex(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
        .collect()
}

#[test]
fn sealing_gives_the_known_answers() {
    for vector in VECTORS {
        let mut sealer = Sealer::new();
        let pool = std::array::from_fn(|i| i as u8);
        sealer
            .install(vector.keys(), pool, SequenceReset::Restart)
            .unwrap();
        for (payload, expected) in payloads().iter().zip(vector.packets) {
            let mut packet = vec![0xee; sealer.sealed_len(payload.len())];
            packet[HEADER_LEN..HEADER_LEN + payload.len()].copy_from_slice(payload);
            sealer.seal(&mut packet, payload.len()).unwrap();
            assert_eq!(packet, from_hex(expected), "{}", vector.cipher);
        }
    }
}

#[test]
fn opening_takes_the_known_answers() {
    for vector in VECTORS {
        let mut opener = Opener::new();
        opener
            .install(vector.keys(), SequenceReset::Restart)
            .unwrap();
        let mut input: Vec<u8> = vector.packets.iter().flat_map(|p| from_hex(p)).collect();
        let mut rest = &mut input[..];
        for (number, payload) in payloads().iter().enumerate() {
            let (body, consumed) = match opener.open(rest).unwrap() {
                Opened::Packet {
                    body,
                    consumed,
                    sequence_number,
                } => {
                    assert_eq!(sequence_number as usize, number);
                    (body, consumed)
                }
                incomplete => panic!("{}: {incomplete:?}", vector.cipher),
            };
            assert!(matches!(body, Body::InPlace(_)));
            assert_eq!(body.as_slice(rest), payload, "{}", vector.cipher);
            rest = &mut rest[consumed..];
        }
        assert!(rest.is_empty());
    }
}

const VECTORS: &[Vector] = &[
    Vector {
        cipher: CipherName::Aes128Gcm,
        mac: None,
        packets: [
            "00000010e13756d4a9881641a0d891a481ed1f1ff4e85ca6408d541c8e72551f193ee9f5",
            "0000002017b03c375d4bed0feecd39adf6bb44d90d63a23bb26cfe5c71b21603af7e9ea1234d5f55\
             009b449ba1d15a2f62f28c59",
            "00000030e739a088649190da2179c2e5209bf1d94d2331d65c88648f23774c0075596c7548254e63\
             7951600f42cfc8b5326af7acffebaa887885c3f21094deaf9a22435e",
        ],
    },
    Vector {
        cipher: CipherName::Aes256Gcm,
        mac: None,
        packets: [
            "000000106a2ce0ace9e1447a8aa9ec55dbda55481d5293281437821b213237a9828db019",
            "00000020359a381a402aefabacfe0de12646242c8d32e17b47f9cca4d5dbac1edbf6a229ed58a96a\
             b8da5b5c23af24ebc66d086e",
            "000000304c7bf83d8d9f9c380664cfc3e20abf70074e8b73d71d0f860fb9f62a89eacede0f2b020b\
             0b92504716bce527e10b4a09ef867be1b585f1263118cf5e77682481",
        ],
    },
    Vector {
        cipher: CipherName::ChaCha20Poly1305,
        mac: None,
        packets: [
            "a6596432659fd71765c1ad3cb4e66158ef9cee57288df02829629ac1",
            "f872f7f1103d1ec2fcdcea24e765176321cc9744cc54e8de8c46b9f4e2cb678cae025f6d8fe74ae4\
             d2069f9a",
            "58e739452954614f6954dffa14a93f6b656b7c0fc1d61c6013672db237633938b9eb761789024aea\
             1d63e8130b0ca39ef9fb7f2e0d36767c3216b72b580822f858f6c88f",
        ],
    },
    Vector {
        cipher: CipherName::Aes128Ctr,
        mac: Some(MacName::HmacSha256),
        packets: [
            "b1996bfeeeea1ebeb5c884d4817a64131074e05bb868ee679cac63ea8ed2cc41b2078f955e211c20\
             9bbf2818cb79f8b6",
            "178658dc31618c573fe4533f656c135bc74ed263dac39516c28b69e389cb640c6706b4fad5df3783\
             75a0e9298cdf770ea17ecf67ad060d4402907fdd7983db03",
            "5657e5c3fadb83edc670eb8ea567298723bf03069ce37770df44da69d6cfe666d50755914d9935a0\
             57d0a67904ccf16ecdb08c9d5fd5ae5e64f4f5d6bfd1aa848e4c65e46c361fe8b7abc7779a9b7b02\
             123411002066c52abbca0d2e044e6d34",
        ],
    },
    Vector {
        cipher: CipherName::Aes192Ctr,
        mac: Some(MacName::HmacSha512),
        packets: [
            "8ce56e6d83c41ad90924481f6256701ccd53bc8e3ee564ac124ac9d33b9d52333e6fafe8740662ee\
             30647bbdeb03fe12f5c007eaba634af70798eee33460d3ed3540921887fa1756c751f664bd970274",
            "0b792a6db0c980228c4a71f558a10078eb6e61ce5d39ab5201700ca20ec3180d66385d00a5db8a22\
             639955bfafee9e8139fe196cc09a20f3822f20654cec3ef94ab07adb0251758f06ffe211973c09c9\
             099361b603cacd23efcf08cd9e3f96b1",
            "2f028fa3a78c6f082d3a5f545f211eb0cc8e164762122969d4fc47349d18235536334e291723e219\
             a415ff7baf82f380d092588fe08022e0bbeb619a98052ca2d9b169dd39dc0cb07056c7b2842c5998\
             659f294427c25b15c13738f1d02805f4046e92920e2439fbd3ba1ad162faa77e43c763b30e88c966\
             a5d6edbc76134458",
        ],
    },
    Vector {
        cipher: CipherName::Aes256Ctr,
        mac: Some(MacName::HmacSha256Etm),
        packets: [
            "000000102c31018fbada3fe36b1c25ecdc475ea291be7f013dbce950bed03eb9ed35c4caa68c664a\
             a47993dc24d488215a5115dc",
            "000000201b366ed13cb28f93871b3ed283b597f07326dd0b3f0a89b889b07c45a530396731dca9a4\
             287fd6bb67f9c8338d8d1761d46681e322e0718376861e53b4beaaaf",
            "0000003057e428a20eb3b117bd584bd04e62e22b9a60d4d7c5593a8ed9ba60a2415f9da4c1d1f2a6\
             46a4d9b8612609b2a287286c2946511654d456630de9c43c3a5a922e5b4a1af86d4822576a883714\
             c044da66",
        ],
    },
    Vector {
        cipher: CipherName::Aes128Ctr,
        mac: Some(MacName::HmacSha512Etm),
        packets: [
            "00000010bf8c6bf3e6fc1abab1cc88d88d76601715e1869c6837de45f3a9e9963c81d1f9381157b4\
             6b65fabf1923d4a64abcc105b00f47c5d3d03dde3ad64d2b28a36498e96893a9cc28942286e60ec5\
             8f8d436f",
            "000000201be73ca94d20874e2eaa4f6f696c400bc2419176b8ade662da9371fb91d36c04605caec7\
             a8f80acb6d46861df168b3c5868058378733f01888799886d12e00d1a33d015b87a1bf740bd163d9\
             2f58d884aeed3b5a09360caa6be35a774f62facc",
            "000000305157e4fdeadf87e9c27ce782a9632d8327a31f1a80e77374db48d665dacbe262d13b69ad\
             719d31a453ee98433ec0fd5aa2bd078aeebe998a69bc56e7e3c13d6e51704ca006e9b74aa4326b19\
             810a5fb16869eaa1925ffd0fb1e3eaa833f4bf2b0e353fabda1867bbcde69cd72a49fb11",
        ],
    },
];
