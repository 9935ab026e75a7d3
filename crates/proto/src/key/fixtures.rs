//! Test keys and what OpenSSH signed with them. They protect nothing: NEVER USE THEM.
//!
//! Keys: `ssh-keygen -t TYPE -b BITS` of OpenSSH 9.2. Signatures: `ssh-keygen -Y sign -n adit`; the blob
//! is the last field of the SSHSIG document, and [`SIGNED`] the bytes that it covers (PROTOCOL.sshsig).
//! PKCS#8, SEC 1 and the `rsa-sha2-256` signature: Python's `cryptography`. Everything is in base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{EcdsaCurve, KeyType, SignatureAlgorithm};

/// A key of one type.
pub(super) struct Fixture {
    pub(super) key_type: KeyType,
    pub(super) algorithm: SignatureAlgorithm,
    pub(super) blob: &'static str,
    /// From `ssh-keygen -l`.
    pub(super) fingerprint: &'static str,
    /// Over [`SIGNED`].
    pub(super) signature: &'static str,
    pub(super) pkcs8: &'static str,
}

/// Bytes from base64; for constants in tests.
pub(super) fn b64(text: &str) -> Vec<u8> {
    STANDARD.decode(text).expect("base64")
}

/// The bytes that every signature here covers.
pub(super) const SIGNED: &str = "\
    U1NIU0lHAAAABGFkaXQAAAAAAAAABnNoYTUxMgAAAEAu62uC9/G1+WhNouMhFsTw3YypV3TH660tafsXvaPbEj+Wyl\
    yCCfFETgHcookuJGKEMaftbAXvBo2+07KTDKcV";

/// One key of every type.
pub(super) const FIXTURES: [Fixture; 5] = [
    Fixture {
        key_type: KeyType::Ed25519,
        algorithm: SignatureAlgorithm::Ed25519,
        blob: "AAAAC3NzaC1lZDI1NTE5AAAAIDlIqZ/WBaTzWJy+v0qd2w/N6xST3tWiO44kt06FQo7B",
        fingerprint: "SHA256:ErcQZAji0AzrIPjZ9F2NV0KzhcFixO8b2dkEQ25HPlQ",
        signature: "\
            AAAAC3NzaC1lZDI1NTE5AAAAQP8SfQsAc71OLcJTLcUuhWZMCG9OQVWxPZ+EAltIAP23wVNrHE73QNwrQKjhHWsqnd\
            ts+JfgrnpkrkVKAdoyAgU=",
        pkcs8: "MC4CAQAwBQYDK2VwBCIEIGISOcEG73ryrVcVb2bftzA8+2LPPXNXhM9s/Ajhky1G",
    },
    Fixture {
        key_type: KeyType::Ecdsa(EcdsaCurve::Nistp256),
        algorithm: SignatureAlgorithm::EcdsaNistp256,
        blob: "\
            AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBItdQKSxy5fn2Qc+A4EbnkPTxiJsVA4J5lDWLs\
            six4IeRWW6mGQoZ88wAPrcPzc10qaNc32buikLPQviuqmvg30=",
        fingerprint: "SHA256:OpgNlg8fZcy4LC1OMEM77PDjl+0UYUyb0ebdiE50UQE",
        signature: "\
            AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAABJAAAAIF3rpsICG2QmRAwIXUZTcWcLdvW5R8GjA3q8tbQdhGG7AAAAIQ\
            Ch5UvxubxnrEhKMpXw8DMzltFB8BIMkBRUqxy46ehx1Q==",
        pkcs8: "\
            MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgmCaNdokYGlkHpP3LIU6IjrH06V3Ux6M7TYzJF7S0yS\
            qhRANCAASLXUCkscuX59kHPgOBG55D08YibFQOCeZQ1i7LIseCHkVluphkKGfPMAD63D83NdKmjXN9m7opCz0L4rqp\
            r4N9",
    },
    Fixture {
        key_type: KeyType::Ecdsa(EcdsaCurve::Nistp384),
        algorithm: SignatureAlgorithm::EcdsaNistp384,
        blob: "\
            AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAzODQAAABhBCTN61xtEcbrGk5CJjd5VEzCQ/5ymcVUfAGWlU\
            4d4JOp2199SZ3wt1/mnQQXpq/f1qo8a8O3mATa54b8f6UvBx7IpfsATIiqbSVxuHnWz5H7anNVFcsHVa9picn9c5By\
            yw==",
        fingerprint: "SHA256:zdmoIbDHTNkT8J5cD0Ker42ClxR+GMOAXB0rOGvkihA",
        signature: "\
            AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAABoAAAAMDzSffpLUJPfhmLm7alCA8dyz+8ttVBBF4WXRNOPWxcjZwDHPA\
            2zTxQmpnI3rUTHJgAAADBd/AF49CJHawLJuQAmPsBMNKnsfX0T78ma1P0RsE5G6PDTXgEUft3UyOhy2uKvFoM=",
        pkcs8: "\
            MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDC+jVbRx+KULw5Svv63+Q3yobRPIFDlCOVKg6rB51/T+6\
            o3qUACJRDwn4+758wf06uhZANiAAQkzetcbRHG6xpOQiY3eVRMwkP+cpnFVHwBlpVOHeCTqdtffUmd8Ldf5p0EF6av\
            39aqPGvDt5gE2ueG/H+lLwceyKX7AEyIqm0lcbh51s+R+2pzVRXLB1WvaYnJ/XOQcss=",
    },
    Fixture {
        key_type: KeyType::Ecdsa(EcdsaCurve::Nistp521),
        algorithm: SignatureAlgorithm::EcdsaNistp521,
        blob: "\
            AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEAAAAIbmlzdHA1MjEAAACFBAEFXZSpugAMJwwsRqIthCQ48nONG7bzWuGMlj\
            s5AUG+hmM6q8mHawR4PS0C03RetabYq+juFwQL9qiplrmQ/ZjRuQH2riC3qnCgj1ReQSe25DV1SVV/2nW9CKPYARQd\
            uM2PXLdBk4PQHj6KwSIVHdEpCmdA/dK4hlqorR5Udd+ngP0IwA==",
        fingerprint: "SHA256:MlHNaNltzHiT4B0pPwniwvyxcQy/TaDmjsSIyqZsDEQ",
        signature: "\
            AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEAAACMAAAAQgH/r6dfyzgtS27Bqc/gXwq75Y7ZHGz34c8GEUdn4jiXgco3mQ\
            OqQ2U6mjwwPF4tTDNadj7ANndEk7+KKq/YFjWOaAAAAEIB+JW/vSpsleQqL3g860o3kC5P8koexm8lLDrAR7ZQVZXU\
            xfOzDk6l+JB2mTIQbHyxm+AsnrI5b9Yr+eK1MtD32hE=",
        pkcs8: "\
            MIHuAgEAMBAGByqGSM49AgEGBSuBBAAjBIHWMIHTAgEBBEIBb3ah5uzn9uZnBQP1TYWb3F5b4kH2D1QLtAwrUKLhib\
            e5tw6rUbGeHvCeQgrnoCOZL0feZPBv9kEqEgqnNnSQ4kWhgYkDgYYABAEFXZSpugAMJwwsRqIthCQ48nONG7bzWuGM\
            ljs5AUG+hmM6q8mHawR4PS0C03RetabYq+juFwQL9qiplrmQ/ZjRuQH2riC3qnCgj1ReQSe25DV1SVV/2nW9CKPYAR\
            QduM2PXLdBk4PQHj6KwSIVHdEpCmdA/dK4hlqorR5Udd+ngP0IwA==",
    },
    Fixture {
        key_type: KeyType::Rsa,
        algorithm: SignatureAlgorithm::RsaSha512,
        blob: "\
            AAAAB3NzaC1yc2EAAAADAQABAAABAQC4SkzhUdgasaprle+KqGA53Nv65tCD7z7PZJwCvjNQR6QW/axpbdwpbFfhEm\
            ZQETkeYI9xmMRKo0h2YPpghVT3VeEyNBBvBpQEmUaMBVa3cljrWT34ulGxPVxjMcMi6TM2IvzBkmdd46OCtLV159Yf\
            wHRKv84XV//DGf4XOMhl0WaQaSzQ0/x+QEqHGFFDJ/adRUFJkt7On3GAekMpZCmXEppET8Kyf89KybEp83M1IwydlT\
            IA40pIknK4041KF7hvZQ0Hxs5vedIj7EzulFyFg0455Xe0vu8E3UZjhxFC4QuuQONay46ht9weWMnngb8UCS/r12C0\
            IMhmHhSQqCZp",
        fingerprint: "SHA256:FiiiOdQF23d67G14Rb+ObzJNOyM8d5tVpoQYkg1lfDQ",
        signature: "\
            AAAADHJzYS1zaGEyLTUxMgAAAQBiBZ2WTQmEKUKWuaHUuVcAJZrcoZyz0RJo4p3+rkBLeuJSEtsy/mM02ai9AVuLBC\
            c6+Gr9Y79nov6B9SxMVqVhO/33/aA/ozKY1ma9+1lTM7/7ixmuMBlsVubgU9W3orvmOlC2jeRxsHhUyUr6RAUpQu5K\
            s/HYiuGkBs5Vd/8ZNQp/x1FlljAGW7BBGjDANOW54/shxslZA1z+5JbMJAe/cTp0yVSCBumC2TziZpnpp58BrRaUU3\
            x4hm67PEZrLCYh0uc+Le0Y0bWYEGjUNmM1oWrshuCrL7nwtY3Yk9jlU9XJPvGcZA0AdRpmU9deF2h+hQnmHUblp7S5\
            m/URU2Kw",
        pkcs8: "\
            MIIEuwIBADANBgkqhkiG9w0BAQEFAASCBKUwggShAgEAAoIBAQC4SkzhUdgasaprle+KqGA53Nv65tCD7z7PZJwCvj\
            NQR6QW/axpbdwpbFfhEmZQETkeYI9xmMRKo0h2YPpghVT3VeEyNBBvBpQEmUaMBVa3cljrWT34ulGxPVxjMcMi6TM2\
            IvzBkmdd46OCtLV159YfwHRKv84XV//DGf4XOMhl0WaQaSzQ0/x+QEqHGFFDJ/adRUFJkt7On3GAekMpZCmXEppET8\
            Kyf89KybEp83M1IwydlTIA40pIknK4041KF7hvZQ0Hxs5vedIj7EzulFyFg0455Xe0vu8E3UZjhxFC4QuuQONay46h\
            t9weWMnngb8UCS/r12C0IMhmHhSQqCZpAgMBAAECggEALb6HqdBCd5HNLwpXHNBhnktDsVpUvMMIkLs0/HtQymcWBH\
            zwLHVQFlol0CDck5hK2M74HCbi5nH0XSoCTC4cYo6HKQqCX8S+vgt71urGVR/FkZmjx9cbywZjpd2mxcYj55a0ranV\
            DZmhLyMC/eLPpC8Fzr4gfmvh+QA9MW9vUtJFDaMonHom/jWgLwpAbZesdHI4t2iUeb0EkaCcnrru9vEDkbMKVMM8SS\
            Y2GcNFQ7wku35VGL076B3XLXmD6drKEwIEirpAmhBpfhC0pq2SVkbiUdjDcOzetvRGubvi2tutdaQfA7+LYE9/aV3w\
            j1I+SITXhyIuapDcvbmb8wCixwKBgQDkpedgZcmXh+vpc6ZljqcwTu1ytpt+QuQe64vh9YdOvlwGly4nHMmxn96NMQ\
            ibsq1axwf+gw9ZXRR3HCZKY4Dwos0iuImooBjiDnaBjbBcNzEWYzu/GW4fK9A5dwAVMLrbleSQXNqbk1hkBVWrDJgU\
            rNRomcvV9ZcTLevqFZSMTwKBgQDOVfyY9NIkr+GqsMiVll2B62D0k59i1qGwsan1qr8LzlXFatJ3ZqInIp0Iy4zGKt\
            6e96cyc6YW3yySPZtu5TFtlzJZOima60mviAuVLLAVvfKHRFMBm3HNVzCzGPlyEfe6QJM0RIk3u/f4z9qLST9L3A78\
            VqcXsh//kS6/kAFbxwJ/K8OVhd31uAtMHGMGdmnXlmeFC2/oU0J6Z3CuVZGpVGkbNCe7rcDU2iq/bkb0XtjUVYvC+/\
            QZ/ADU6fd5XMOu6mA+42Zu8tex65LZG/MCzqPBwYc86Fb1vQGl2VntqiCpo14NYZRkQ2LwiDR9MUA327046syFN27K\
            e+FORn/a7wKBgGpVad2xnXKGqXd7r4NXgEzp7odcZHFdRup2RK50FgyRgyZADMK3w60Da4YS0DN3+E5YNnQLoXZ8AM\
            5ErYuS1cwydSIClVpfExRAuidgZkZuI0SOc3CKmTVHT7OclUCx/cagbLws7cIpPnudMnVBhDsl5xsn1OijRVZBjaPv\
            JKQVAoGBAM/04mnU3zPagzfrS3vpo6oMGTiAggX+qNw0Nx8jv88gv9XxIqgvl6lCJkor2aL944jOXZTLYgJxK11AxO\
            f9PX2EEx4dq2TtZD+twLv/6+t51kfB/FNgxMHpW2I8RLxViufRwWe+tXor4l7g2a/aw6wkehVLrC1B/r9+egHUTm38",
    },
];

/// The P-256 key again, as `EC PRIVATE KEY`.
pub(super) const P256_SEC1: &str = "\
    MHcCAQEEIJgmjXaJGBpZB6T9yyFOiI6x9Old1MejO02MyRe0tMkqoAoGCCqGSM49AwEHoUQDQgAEi11ApLHLl+fZBz\
    4DgRueQ9PGImxUDgnmUNYuyyLHgh5FZbqYZChnzzAA+tw/NzXSpo1zfZu6KQs9C+K6qa+DfQ==";

/// The RSA key's `rsa-sha2-256` signature.
pub(super) const RSA_SHA256_SIGNATURE: &str = "\
    AAAADHJzYS1zaGEyLTI1NgAAAQAISPwtdsOu8twDm227CvnxL2hh0xRQPsRUwLNz9Qr6ACIr24Hl2vxs7LhFhTRp9O\
    jF7GTvfZd6TUfv/HJ4mNA8esYrU+Zl37J67lxJCwl8VdKGOR/EZI79LLi0ZYUmcBL9IXVdFMEWzVA9z4+zeFy1gXAQ\
    QO+VbiP35WcZV0DSj/T8F1bhE8NR++48GR4uX7Zs3CD183i3RITPQjK9liwg+ZgksYDfDoNuNTi6QB6/TAiF4VyTft\
    q4LZynvq0tZB5R/OURtbtnF7nvntNpZZ0k1+hqnn70MSSFcJVewXla4LFuzonzJ5AWaXCO4C4LsYefjXZhZnOgzyw1\
    ufZunxr/";

/// An RSA key of 1024 bits.
pub(super) const SMALL_RSA_PKCS8: &str = "\
    MIICdgIBADANBgkqhkiG9w0BAQEFAASCAmAwggJcAgEAAoGBALAepVQ+E/HZHqifXxfI5oKJkoJKB+jgktRTIl2C1z\
    /44SWoI0kJSTYKMXF+e8w5vYIXKUOF+60g0Vr++s6uLkyMNccItubP74feFTZAQDdgL6y7hM6oerBWN3FAIor5LAlb\
    7No1FPRIojnJ5OrPkp6HL8p60SsAq+r0F2OehsUHAgMBAAECgYBPDwKyRUeYuhk8IoaCW8m18WGWIPtZ+22N6F+10G\
    Ulr2gKCmcEgymdG4hEZT3XWFgMjK8WQ4/NkLzJ90nI+4GGViPA334P5Ilje4+JzmY5HpC4V9nKXPJ7LF0u8B7EtKmg\
    Zc206l7tpOAgaGW6KtbRCYDvJh/CoAJ7DaMokq808QJBAOKqFdN1Lq3pXuBvbCU/NPkg8OegoUpFTLvOYIHqxYHmUK\
    PnsTqR9i5dsSCdowAnB6u5ufbYivstIADaUnLHeBkCQQDG6eYABPEvj8wZUcCe+eDHyfAGcq1QUCM18/qwnFca7OI9\
    iCkJ7shKwafIghven2AIY56dyleSYKGvVgoh6EofAkBgjnAJymt+LmH6XbzGCSz5y6yUH3tV9jt/7aRy8537fi9wAy\
    0edDtY+RSRflWHpRjBcLbljs11vn1Zn6druclRAkANSOfUjn/xNkBiXIRp2bR6g3ElbRlIKOIBI3dVvktPAA0oIOTk\
    xe7Yl1B2YsIrvycxyD16ul3Y591EkZGBrDrvAkEAi6zPpPMoWI9niYsa1iPVrqx5j46y0LXF/f25dZszKAFHjKg+w0\
    M93ppkEHQHkpWKOWddzx93RCW1cVewX508IA==";

/// Its public key.
pub(super) const SMALL_RSA_BLOB: &str = "\
    AAAAB3NzaC1yc2EAAAADAQABAAAAgQCwHqVUPhPx2R6on18XyOaCiZKCSgfo4JLUUyJdgtc/+OElqCNJCUk2CjFxfn\
    vMOb2CFylDhfutINFa/vrOri5MjDXHCLbmz++H3hU2QEA3YC+su4TOqHqwVjdxQCKK+SwJW+zaNRT0SKI5yeTqz5Ke\
    hy/KetErAKvq9BdjnobFBw==";
