//! Elements of an array inside a record, where one or a few of them are read.
//!
//! In: an array, or anything else, which then has no elements. Out: at most so many elements; the rest is skipped.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{drain_map, drain_seq};
use crate::limits::NESTED_ELEMENTS_MAX;

/// The JSON of one value, as it was written.
#[derive(Debug, Clone, Copy)]
pub(in crate::decode) struct Raw<'a>(pub(in crate::decode) &'a str);

/// Under this name a deserializer of ours hands out the text of a value; serde_json hands out the value.
pub(super) const RAW_NAME: &str = "shadowprod::Raw";

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(RAW_NAME, RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw<'de>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Raw<'de>, E> {
        Ok(Raw(v))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw<'de>, D::Error> {
        <&RawValue>::deserialize(deserializer).map(|raw| Raw(raw.get()))
    }
}

/// First element of an array; absent for anything else.
#[derive(Debug)]
pub(in crate::decode) struct First<T>(pub(in crate::decode) Option<T>);

impl<T> Default for First<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for First<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let elements = deserializer.deserialize_any(ElementsVisitor { count_max: 1, of: PhantomData })?;
        Ok(Self(elements.into_iter().next()))
    }
}

/// The first NESTED_ELEMENTS_MAX elements of an array; none for anything else.
#[derive(Debug)]
pub(in crate::decode) struct Many<T>(pub(in crate::decode) Vec<T>);

impl<T> Default for Many<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Many<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let visitor = ElementsVisitor { count_max: NESTED_ELEMENTS_MAX, of: PhantomData };
        deserializer.deserialize_any(visitor).map(Self)
    }
}

struct ElementsVisitor<T> {
    count_max: usize,
    of: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for ElementsVisitor<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
        let mut elements = Vec::new();
        while elements.len() < self.count_max {
            let Some(element) = seq.next_element()? else { return Ok(elements) };
            elements.push(element);
        }
        drain_seq(seq).map(|()| elements)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Vec<T>, A::Error> {
        drain_map(map).map(|()| Vec::new())
    }

    fn visit_str<E>(self, _: &str) -> Result<Vec<T>, E> {
        Ok(Vec::new())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Vec<T>, E> {
        Ok(Vec::new())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Vec<T>, E> {
        Ok(Vec::new())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Vec<T>, E> {
        Ok(Vec::new())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Vec<T>, E> {
        Ok(Vec::new())
    }

    fn visit_unit<E>(self) -> Result<Vec<T>, E> {
        Ok(Vec::new())
    }
}
