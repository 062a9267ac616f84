//! Structures are read from objects only. What serde derives for one also reads a list of its values, in the order
//! of its fields, from a format that knows lists: JSON and TOML do.

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
