use crate::client::number;

/// The address of a version: neither a host with a port nor the path of a socket can be written so.
pub(crate) fn address(function: &str, version: &str) -> String {
    format!("scf:{function}/{version}")
}

/// The version that an address of `function` names.
///
/// # Errors
/// What is wrong with it, as in `… must be ..`.
pub(crate) fn parse<'a>(text: &'a str, function: &str) -> Result<&'a str, String> {
    let named = text.strip_prefix("scf:").and_then(|named| named.split_once('/'));
    let Some((of, version)) = named.filter(|(_, version)| number(version).is_some()) else {
        return Err("must be `scf:FUNCTION/VERSION`, the version a number".to_owned());
    };
    if of == function { Ok(version) } else { Err(format!("must be of the function `{function}`")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_back_and_no_other_form_does() {
        assert_eq!(parse(&address("shop", "12"), "shop"), Ok("12"));
        for none in [
            "",
            "shop/1",
            "scf:shop/$LATEST",
            "scf:shop/0",
            "scf:shop/01",
            "scf:shop/1/2",
            "scf:1",
            "scf:mail/1",
        ] {
            assert!(parse(none, "shop").is_err(), "{none}");
        }
        assert!(address("shop", "1").parse::<std::net::SocketAddr>().is_err());
    }
}
