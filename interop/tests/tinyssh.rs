//! adit and tinysshd, which has chacha20-poly1305 alone and no strict key exchange: adit says which setting would go on,
//! and goes on with it.

use adit_interop::matrix::Pairing;
use adit_interop::peer::{ClientAsk, ServerAsk};

adit_interop::each_pairing! {
    [
        the_setting_that_would_go_on_is_named
        with_that_setting_the_login_is_reached
    ]
    adit_to_tinysshd: Adit => TinySsh;
}

fn the_setting_that_would_go_on_is_named(pairing: &Pairing) {
    let server = pairing.serve(&ServerAsk::default());
    let (code, said) = pairing.launch(&server, &ClientAsk::forwards([])).end();
    assert_eq!(code, Some(255), "{said}");
    assert!(said.contains("AllowTerrapin"), "{said}");
}

fn with_that_setting_the_login_is_reached(pairing: &Pairing) {
    let server = pairing.serve(&ServerAsk::default());
    let ask = ClientAsk::args(&["-o", "AllowTerrapin=yes"]);
    let (code, said) = pairing.launch(&server, &ask).end();
    assert_eq!(code, Some(255), "{said}");
    for words in [
        "NEWKEYS sent, NEWKEYS received",
        "Permission denied (publickey)",
    ] {
        assert!(said.contains(words), "{words:?} is not in: {said}");
    }
}
