//! Structures are read from objects only. What serde derives for one also reads a list of its values, in the order
//! of its fields, from a format that knows lists: JSON and TOML do.

use std::borrow::Cow;
use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor,
};

/// A deserializer, or what it is handed, in which a list is no structure.
pub(crate) struct Objects<T>(pub(crate) T);

/// Reads a text of JSON, all of it.
///
/// # Errors
///
/// What is wrong with it, and where.
#[cfg(feature = "aws")]
pub(crate) fn from_json<'a, T: serde::Deserialize<'a>>(json: &'a [u8]) -> serde_json::Result<T> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let value = T::deserialize(Objects(&mut reader))?;
    reader.end()?;
    Ok(value)
}

/// What serde says of a value of the wrong kind, in words of the document and not in those of Rust: a structure is an
/// object, and a number has a range instead of a type. Anything else that it says stays as it is.
#[cfg_attr(
    not(any(feature = "http", feature = "aws")),
    expect(dead_code, reason = "only bodies and documents are read by others")
)]
pub(crate) fn in_words(error: &str) -> Cow<'_, str> {
    let kinds = ["invalid type: ", "invalid value: ", "invalid length "];
    let Some(kind) = kinds.into_iter().find(|kind| error.starts_with(kind)) else {
        return error.into();
    };
    // What was found may be a text with anything in it.
    let Some((found, rest)) = error[kind.len()..].rsplit_once(", expected ") else {
        return error.into();
    };
    let (expected, place) = match rest.find(" at line ") {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let (found, expected) = (found_in_words(found), expected_in_words(expected));
    format!("{kind}{found}, expected {expected}{place}").into()
}

fn found_in_words(found: &str) -> Cow<'_, str> {
    match found {
        "map" => "object".into(),
        "sequence" => "list".into(),
        "unit value" => "null".into(),
        "unit variant" => "string".into(),
        found => match found.strip_prefix("floating point ") {
            Some(number) => format!("number {number}").into(),
            None => found.into(),
        },
    }
}

fn expected_in_words(expected: &str) -> Cow<'_, str> {
    if let Some(count) = (expected.strip_prefix("a tuple of size "))
        .or_else(|| expected.strip_prefix("an array of length "))
    {
        return format!("a list of {count}").into();
    }
    let (first, rest) = expected.split_once(' ').unwrap_or((expected, ""));
    let words = match expected {
        "u8" => "an integer from 0 to 255",
        "u16" => "an integer from 0 to 65535",
        "u32" => "an integer from 0 to 4294967295",
        "u64" | "u128" | "usize" => "an integer from 0 on",
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "an integer",
        "f32" | "f64" => "a number",
        "a nonzero u8" => "an integer from 1 to 255",
        "a nonzero u16" => "an integer from 1 to 65535",
        "a nonzero u32" => "an integer from 1 to 4294967295",
        "a nonzero u64" | "a nonzero usize" => "an integer from 1 on",
        "a borrowed string" => "a string",
        "a sequence" => "a list",
        "a map" => "an object",
        "unit" => "null",
        _ => match (first, rest.split(' ').next()) {
            ("struct", _) => "an object",
            ("tuple", _) => "a list",
            ("enum" | "unit", _) => "a string",
            ("newtype", _) => "an object with one member",
            (_, Some("identifier")) => "a string",
            _ => return expected.into(),
        },
    };
    words.into()
}

/// What a visitor is asked for.
struct Visiting<V> {
    visitor: V,
    is_structure: bool,
}

impl<V> Visiting<V> {
    fn any(visitor: V) -> Self {
        Self {
            visitor,
            is_structure: false,
        }
    }

    fn structure(visitor: V) -> Self {
        Self {
            visitor,
            is_structure: true,
        }
    }
}

macro_rules! forward_to_deserializer {
    ($($method:ident($($name:ident: $type:ty),*) => $visiting:ident;)*) => {$(
        fn $method<V: Visitor<'de>>(self, $($name: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            self.0.$method($($name,)* Visiting::$visiting(visitor))
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Objects<D> {
    type Error = D::Error;

    forward_to_deserializer! {
        deserialize_any() => any;
        deserialize_bool() => any;
        deserialize_i8() => any;
        deserialize_i16() => any;
        deserialize_i32() => any;
        deserialize_i64() => any;
        deserialize_i128() => any;
        deserialize_u8() => any;
        deserialize_u16() => any;
        deserialize_u32() => any;
        deserialize_u64() => any;
        deserialize_u128() => any;
        deserialize_f32() => any;
        deserialize_f64() => any;
        deserialize_char() => any;
        deserialize_str() => any;
        deserialize_string() => any;
        deserialize_bytes() => any;
        deserialize_byte_buf() => any;
        deserialize_option() => any;
        deserialize_unit() => any;
        deserialize_unit_struct(name: &'static str) => any;
        deserialize_newtype_struct(name: &'static str) => any;
        deserialize_seq() => any;
        deserialize_tuple(len: usize) => any;
        deserialize_tuple_struct(name: &'static str, len: usize) => any;
        deserialize_map() => any;
        deserialize_struct(name: &'static str, fields: &'static [&'static str]) => structure;
        deserialize_enum(name: &'static str, variants: &'static [&'static str]) => any;
        deserialize_identifier() => any;
        deserialize_ignored_any() => any;
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

macro_rules! forward_to_visitor {
    ($($method:ident($type:ty);)*) => {$(
        fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.visitor.$method(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Visiting<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    forward_to_visitor! {
        visit_bool(bool);
        visit_i8(i8);
        visit_i16(i16);
        visit_i32(i32);
        visit_i64(i64);
        visit_i128(i128);
        visit_u8(u8);
        visit_u16(u16);
        visit_u32(u32);
        visit_u64(u64);
        visit_u128(u128);
        visit_f32(f32);
        visit_f64(f64);
        visit_char(char);
        visit_str(&str);
        visit_borrowed_str(&'de str);
        visit_string(String);
        visit_bytes(&[u8]);
        visit_borrowed_bytes(&'de [u8]);
        visit_byte_buf(Vec<u8>);
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, value: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_some(Objects(value))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, value: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_newtype_struct(Objects(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<V::Value, A::Error> {
        match self.is_structure {
            true => Err(Error::invalid_type(Unexpected::Seq, &self.visitor)),
            false => self.visitor.visit_seq(Objects(list)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_map(Objects(object))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, value: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_enum(Objects(value))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Objects<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Objects(value))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Objects<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Objects(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Objects<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.0.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(Objects(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for Objects<A> {
    type Error = A::Error;
    type Variant = Objects<A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), A::Error> {
        let (name, variant) = self.0.variant_seed(seed)?;
        Ok((name, Objects(variant)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Objects<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.0.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.0.newtype_variant_seed(Objects(seed))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.0.tuple_variant(len, Visiting::any(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.0.struct_variant(fields, Visiting::structure(visitor))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default)]
    struct Outer {
        inner: Inner,
        option: Option<Inner>,
        list: Vec<Inner>,
        map: BTreeMap<String, Inner>,
        pair: (u8, String),
        newtype: Newtype,
        variant: Variant,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default)]
    struct Inner {
        number: u8,
        text: String,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    struct Newtype(Inner);

    #[derive(Debug, Default, Deserialize, PartialEq)]
    enum Variant {
        #[default]
        Unit,
        Newtype(Inner),
        Tuple(u8, Inner),
        Structure {
            inner: Inner,
        },
    }

    fn read(json: &str) -> Result<Outer, String> {
        let mut json = serde_json::Deserializer::from_str(json);
        Outer::deserialize(Objects(&mut json)).map_err(|error| error.to_string())
    }

    #[test]
    fn objects_are_read_as_ever() {
        let inner = r#"{"number":1,"text":"\u00fc"}"#;
        let json = format!(
            r#"{{"inner":{inner},"option":{inner},"list":[{inner},{{}}],"map":{{"a":{inner}}},
                "pair":[2,"x"],"newtype":{inner},"variant":{{"Tuple":[3,{inner}]}}}}"#
        );
        let inner = || Inner {
            number: 1,
            text: "ü".to_owned(),
        };
        let expected = Outer {
            inner: inner(),
            option: Some(inner()),
            list: vec![inner(), Inner::default()],
            map: [("a".to_owned(), inner())].into(),
            pair: (2, "x".to_owned()),
            newtype: Newtype(inner()),
            variant: Variant::Tuple(3, inner()),
        };
        assert_eq!(read(&json), Ok(expected));
        for (json, variant) in [
            (r#""Unit""#, Variant::Unit),
            (r#"{"Newtype":{}}"#, Variant::Newtype(Inner::default())),
            (
                r#"{"Structure":{"inner":{}}}"#,
                Variant::Structure {
                    inner: Inner::default(),
                },
            ),
        ] {
            let read = read(&format!(r#"{{"variant":{json},"option":null}}"#));
            assert_eq!(read.map(|read| read.variant), Ok(variant), "{json}");
        }
    }

    #[test]
    fn errors_speak_of_what_a_document_has() {
        for (json, expected) in [
            (r#""x""#, "invalid type: string \"x\", expected an object"),
            ("[]", "invalid type: list, expected an object"),
            (
                r#"{"inner":5}"#,
                "invalid type: integer `5`, expected an object",
            ),
            (
                r#"{"option":", expected u8"}"#,
                "invalid type: string \", expected u8\", expected an object",
            ),
            (r#"{"list":{}}"#, "invalid type: object, expected a list"),
            (r#"{"map":[]}"#, "invalid type: list, expected an object"),
            (
                r#"{"inner":{"number":256}}"#,
                "invalid value: integer `256`, expected an integer from 0 to 255",
            ),
            (
                r#"{"inner":{"number":1.5}}"#,
                "invalid type: number `1.5`, expected an integer from 0 to 255",
            ),
            (
                r#"{"inner":{"text":null}}"#,
                "invalid type: null, expected a string",
            ),
            (
                r#"{"pair":{}}"#,
                "invalid type: object, expected a list of 2",
            ),
            (r#"{"pair":[1]}"#, "invalid length 1, expected a list of 2"),
            (
                r#"{"newtype":""}"#,
                "invalid type: string \"\", expected an object",
            ),
            (
                r#"{"variant":"Newtype"}"#,
                "invalid type: string, expected an object with one member",
            ),
            (
                r#"{"variant":"Other"}"#,
                "unknown variant `Other`, expected one of `Unit`, `Newtype`, `Tuple`, `Structure`",
            ),
            (
                r#"{"variant":{"Structure":1}}"#,
                "invalid type: integer `1`, expected an object",
            ),
        ] {
            let error = read(json).expect_err(json);
            let words = in_words(&error);
            let (words, _) = words.split_once(" at line ").expect("a place");
            assert_eq!(words, expected, "{json}: {error}");
        }
        for same in [
            "missing field `a`",
            "trailing characters at line 1 column 2",
            "",
        ] {
            assert_eq!(in_words(same), same);
        }
    }

    #[test]
    fn list_is_no_structure_wherever_it_stands() {
        for json in [
            r#"[]"#,
            r#"[{}]"#,
            r#"{"inner":[]}"#,
            r#"{"inner":[1,"x"]}"#,
            r#"{"option":[1]}"#,
            r#"{"list":[{},[1]]}"#,
            r#"{"map":{"a":[1]}}"#,
            r#"{"newtype":[1]}"#,
            r#"{"variant":{"Newtype":[1]}}"#,
            r#"{"variant":{"Tuple":[1,[1]]}}"#,
            r#"{"variant":{"Structure":[{}]}}"#,
        ] {
            let error = read(json).expect_err(json);
            assert!(
                error.starts_with("invalid type: sequence, expected struct"),
                "{json}: {error}"
            );
        }
        let toml = toml::Deserializer::parse("inner = [1, 'x']").unwrap();
        assert!(Outer::deserialize(Objects(toml)).is_err());
    }
}
