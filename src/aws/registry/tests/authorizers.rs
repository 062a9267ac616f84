//! Authorizers, as the operations make them.

use super::*;

/// An RSA key whose private half nobody has.
pub(super) const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAti74abdMsAOv+Hm6c5p5
vHrx0By/Cwr4vYXjVrHK5ESWY5DbGapBiZLjO/jUNxYQVtwR9yYRg8NyQohwMVXr
VZrBGHZvVkt0dftToDDggomUuUzR7GsrUUdmyrXvJlJ5GJggiExLnfFmWvGSpt/g
XsaZ1rowcVuXQW6zlp/DfXD1NIYPduk2+weCIDT3+Goqx6IQ4xi1e7AOjxflx3zN
WlIt1vkLlzdQSLpYzLw98aqO5rDv3APpbOocgla/dXFNtciUUkzPIis8fARiWd1R
05R70cKe+6L5qffHt1+RmK/Bc6KjX0WnxQo3uBFhPW4w594Ju+ocQPlDXaIxu0YC
9wIDAQAB
-----END PUBLIC KEY-----
";

/// What no token is signed with here: a key on a curve, and one that is too short.
const CURVE: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEVX2QPgcFbVnLcH/KUCnsQTIGSwFt
wh6OaPkFmm7YlR76omPrTEzCTcAptVNY6fyETL/h8tJr1efoexpwvVltwg==
-----END PUBLIC KEY-----
";
const SHORT: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDv6vBVmwei30twsddf8yyP0cCE
1jgI6DINphOmKFTpL60MYSd06tVvfUnyP0uPyVu4MvLfImNU2TmL1s/5dNt7eutx
L9NWUqqnd+GCETjVp4xCxSt5UNbooptzmv3iM9Irmq30IYIDn4FJAXG7Jj6G7oMF
nJggoeOEOhwzDiSkMQIDAQAB
-----END PUBLIC KEY-----
";

fn signed() -> NewAuthorizer<'static> {
    NewAuthorizer {
        function_arn: "arn:aws:lambda:us-east-1:123456789012:function:f",
        token_key_name: Some("token".to_owned()),
        token_signing_public_keys: [("one".to_owned(), PUBLIC_KEY.to_owned())].into(),
        ..NewAuthorizer::default()
    }
}

fn unsigned() -> NewAuthorizer<'static> {
    NewAuthorizer {
        function_arn: "f",
        signing_disabled: true,
        ..NewAuthorizer::default()
    }
}

/// AWS-OPS-46
#[test]
fn one_that_verifies_tokens_needs_a_name_for_them_and_keys() {
    let office = Office::in_memory();
    let create = |new| office.change(|draft| draft.create_authorizer("a", new).map(drop));
    let with_key = |key: &str| NewAuthorizer {
        token_signing_public_keys: [("one".to_owned(), key.to_owned())].into(),
        ..signed()
    };
    for (new, why) in [
        (
            NewAuthorizer {
                token_key_name: None,
                ..signed()
            },
            "are required unless",
        ),
        (
            NewAuthorizer {
                token_signing_public_keys: Default::default(),
                ..signed()
            },
            "are required unless",
        ),
        (
            NewAuthorizer {
                function_arn: "",
                ..unsigned()
            },
            "characters, and not 0",
        ),
        (with_key("x"), "it is not in PEM"),
        (with_key(CURVE), "it is no RSA key"),
        (with_key(SHORT), "it has 1024 bits"),
        (with_key(&Pki::new("CA").pem), "it is a CERTIFICATE"),
    ] {
        let refused = create(new).unwrap_err();
        assert!(matches!(refused, Error::InvalidRequest(_)), "{refused:?}");
        assert!(refused.to_string().contains(why), "{refused}");
    }
    create(signed()).unwrap();
    let again = create(signed()).unwrap_err();
    assert!(
        matches!(again, Error::ResourceAlreadyExists { .. }),
        "{again:?}"
    );
    let without = AuthorizerUpdate {
        token_signing_public_keys: Some(Default::default()),
        ..AuthorizerUpdate::default()
    };
    let refused = office.change(|draft| draft.update_authorizer("a", without));
    assert!(
        matches!(refused, Err(Error::InvalidRequest(_))),
        "{refused:?}"
    );
}

#[test]
fn an_active_one_and_the_default_are_not_deleted() {
    let mut office = Office::in_memory();
    let new = NewAuthorizer {
        is_active: true,
        ..unsigned()
    };
    let created = office.change(|draft| draft.create_authorizer("a", new));
    assert_eq!(created.unwrap().modified, office.now);
    office
        .change(|draft| draft.create_authorizer("b", unsigned()))
        .unwrap();
    let delete = |office: &Office| office.change(|draft| draft.delete_authorizer("a"));
    let refused = delete(&office);
    assert!(
        matches!(refused, Err(Error::DeleteConflict(_))),
        "{refused:?}"
    );
    office
        .change(|draft| draft.set_default_authorizer("a"))
        .unwrap();
    office.now += 1;
    let inactive = AuthorizerUpdate {
        is_active: Some(false),
        ..AuthorizerUpdate::default()
    };
    office
        .change(|draft| draft.update_authorizer("a", inactive))
        .unwrap();
    let refused = delete(&office);
    assert!(
        matches!(refused, Err(Error::DeleteConflict(_))),
        "{refused:?}"
    );
    let other = office.change(|draft| draft.set_default_authorizer("b"));
    assert!(
        matches!(other, Err(Error::ResourceAlreadyExists { .. })),
        "{other:?}"
    );
    let state = office.registry.state();
    let default = state.describe_default_authorizer().unwrap();
    assert_eq!((&*default.name, default.modified), ("a", office.now));
    office
        .change(|draft| draft.clear_default_authorizer())
        .unwrap();
    let none = office.change(|draft| draft.clear_default_authorizer());
    assert!(matches!(none, Err(Error::ResourceNotFound(_))), "{none:?}");
    delete(&office).unwrap();
    let gone = delete(&office);
    assert!(matches!(gone, Err(Error::ResourceNotFound(_))), "{gone:?}");
}

#[test]
fn they_are_listed_by_date_and_status_and_have_tags() {
    let mut office = Office::in_memory();
    for (name, is_active) in [("c", true), ("b", false), ("a", true)] {
        office.now += 1;
        let new = NewAuthorizer {
            is_active,
            ..unsigned()
        };
        office
            .change(|draft| draft.create_authorizer(name, new))
            .unwrap();
    }
    let state = office.registry.state();
    let names = |is_active| {
        let listed = state.list_authorizers(is_active, Page::default()).unwrap();
        let names = listed.items.iter().map(|one| one.name.clone());
        names.collect::<String>()
    };
    assert_eq!(
        (names(None), names(Some(true)), names(Some(false))),
        ("cba".to_owned(), "ca".to_owned(), "b".to_owned())
    );
    let arn = state.arn(&Resource::Authorizer("a".to_owned()));
    let tags = Attributes::from([("k".to_owned(), "v".to_owned())]);
    office
        .change(|draft| draft.tag_resource(&arn, tags))
        .unwrap();
    let state = office.registry.state();
    let tags = state.list_tags(&arn, Page::default()).unwrap();
    assert_eq!(tags.items, [("k".to_owned(), "v".to_owned())]);
}
