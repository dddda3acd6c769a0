//! Records whose keys the operator chose after the provider's variables: facts are found however a name is spelt.
//!
//! In: one object, and the names that a format knows. Out: for each fact the value under its best name. `identity.sourceIp`,
//! `identitySourceIp`, `identity_source_ip` and `sourceIp` in an object `identity` are one name, `identitysourceip`.
//! What no name is known for is skipped unread.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::json::{Number, Text};

/// Bytes of a name without dots and dashes; no format knows a longer one.
const NAME_BYTES_MAX: usize = 64;

/// What one format's records say, as an enum.
pub(super) trait Fact: Copy {
    /// How many facts there are.
    const COUNT: usize;
    /// A word that the provider writes for nothing.
    const NOTHING: &'static str;

    /// The fact that stands under a name (lower case, letters and digits only), and the name's rank: of two names of one
    /// fact the lower rank counts.
    fn of(name: &str) -> Option<(Self, u8)>;

    /// Whether the object under this name holds facts.
    fn is_group(name: &str) -> bool;

    /// Its place, below COUNT.
    fn index(self) -> usize;
}

/// One record.
pub(super) struct Loose<'a, F> {
    found: Vec<Found<'a>>,
    of: PhantomData<F>,
}

#[derive(Default)]
struct Found<'a> {
    rank: u8,
    value: Text<'a>,
}

impl<F: Fact> Loose<'_, F> {
    /// "" where the record says nothing of it.
    pub(super) fn get(&self, fact: F) -> &str {
        self.found[fact.index()].value.get()
    }

    /// The integer that stands there.
    pub(super) fn number(&self, fact: F) -> Number {
        self.found[fact.index()].value.number()
    }
}

impl<F: Fact> Default for Loose<'_, F> {
    fn default() -> Self {
        let mut found = Vec::new();
        found.resize_with(F::COUNT, Found::default);
        Self { found, of: PhantomData }
    }
}

impl<'a, F: Fact> Loose<'a, F> {
    /// Which of two values of one name is meant, nobody can say: then `false`.
    fn keep(&mut self, fact: F, rank: u8, value: Text<'a>) -> bool {
        if value.get().is_empty() || value.get() == F::NOTHING {
            return true;
        }
        let found = &mut self.found[fact.index()];
        if found.value.get().is_empty() || rank < found.rank {
            *found = Found { rank, value };
            return true;
        }
        rank > found.rank || value.get() == found.value.get()
    }
}

impl<'de: 'a, 'a, F: Fact> Deserialize<'de> for Loose<'a, F> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut record = Loose::default();
        deserializer.deserialize_map(Group { record: &mut record, name: &mut Name::default() })?;
        Ok(record)
    }
}

/// An object, under the name so far.
struct Group<'r, 'a, F> {
    record: &'r mut Loose<'a, F>,
    name: &'r mut Name,
}

impl<'de: 'a, 'a, F: Fact> DeserializeSeed<'de> for Group<'_, 'a, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de: 'a, 'a, F: Fact> Visitor<'de> for Group<'_, 'a, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let outside = self.name.len;
        while map.next_key_seed(&mut *self.name)?.is_some() {
            let name = self.name.get();
            match F::of(name) {
                Some((fact, rank)) => {
                    if !self.record.keep(fact, rank, map.next_value()?) {
                        return Err(A::Error::custom(format_args!("duplicate field `{name}`")));
                    }
                }
                None if F::is_group(name) => {
                    map.next_value_seed(Group { record: &mut *self.record, name: &mut *self.name })?;
                }
                None => drop(map.next_value::<IgnoredAny>()?),
            }
            self.name.len = outside;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Letters and digits of the keys that lead to a value.
struct Name {
    bytes: [u8; NAME_BYTES_MAX],
    /// Beyond NAME_BYTES_MAX: longer than any name.
    len: usize,
}

impl Default for Name {
    fn default() -> Self {
        Self { bytes: [0; NAME_BYTES_MAX], len: 0 }
    }
}

impl Name {
    fn get(&self) -> &str {
        let bytes = self.bytes.get(..self.len).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    fn push(&mut self, key: &str) {
        for byte in key.bytes().filter(|byte| byte.is_ascii_alphanumeric()) {
            if let Some(place) = self.bytes.get_mut(self.len) {
                *place = byte.to_ascii_lowercase();
            }
            self.len = (self.len + 1).min(NAME_BYTES_MAX + 1);
        }
    }
}

impl<'de> DeserializeSeed<'de> for &mut Name {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for &mut Name {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E>(self, key: &str) -> Result<(), E> {
        self.push(key);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::json;

    #[derive(Clone, Copy)]
    enum Said {
        Address,
        Status,
    }

    impl Fact for Said {
        const COUNT: usize = Self::Status as usize + 1;
        const NOTHING: &'static str = "(not set)";

        fn of(name: &str) -> Option<(Self, u8)> {
            Some(match name {
                "identitysourceip" => (Self::Address, 0),
                "ip" => (Self::Address, 1),
                "status" => (Self::Status, 0),
                _ => return None,
            })
        }

        fn is_group(name: &str) -> bool {
            name == "identity"
        }

        fn index(self) -> usize {
            self as usize
        }
    }

    fn check(record: &str, address: &str, status: Number) {
        let loose: Loose<'_, Said> = json::parse(record).unwrap();
        assert_eq!((loose.get(Said::Address), loose.number(Said::Status)), (address, status), "{record}");
    }

    #[test]
    fn names_are_found_however_they_are_spelt() {
        for record in [
            r#"{"identity.sourceIp":"192.0.2.1","status":"200"}"#,
            r#"{"identitySourceIp":"192.0.2.1","Status":200}"#,
            r#"{"identity_source_ip":"192.0.2.1","status":200}"#,
            r#"{"identity":{"source-ip":"192.0.2.1","user":{"a":[1]}},"status":200}"#,
            r#"{"ip":"192.0.2.1","status":200,"other":{"status":500}}"#,
            r#"{"ip":"192.0.2.9","identity":{"sourceIp":"192.0.2.1"},"status":200}"#,
            r#"{"identity":{"sourceIp":"192.0.2.1"},"ip":"192.0.2.9","status":200,"STATUS":"200"}"#,
            r#"{"identity.sourceIp":"-","identitySourceIp":"(not set)","ip":"192.0.2.1","status":200}"#,
            r#"{"identity":"text","ip":"192.0.2.1","status":200,"":1,"é":2}"#,
        ] {
            check(record, "192.0.2.1", Number::Value(200));
        }
        check("{}", "", Number::Absent);
        check(r#"{"identity":[1],"status":"many","ip":{"a":1}}"#, "", Number::Unreadable);
        let long = "i".repeat(10_000);
        check(&format!(r#"{{"{long}ip":"192.0.2.1","{long}":{{"ip":"192.0.2.1"}}}}"#), "", Number::Absent);
    }

    #[test]
    fn two_values_of_one_name_are_refused() {
        let record = r#"{"status":200,"Status":"500"}"#;
        let refusal = json::parse::<Loose<'_, Said>>(record).err().unwrap();
        assert_eq!(refusal.detail, "duplicate field `status` at line 1 column 29");
    }
}
