//! Records whose keys the operator chose after the provider's variables: facts are found however a name is spelt.
//!
//! In: one object, and the names that a format knows. Out: for each fact the value under its best name. `identity.sourceIp`,
//! `identitySourceIp`, `identity_source_ip` and `sourceIp` in an object `identity` are one name, `identitysourceip`.
//! What no name is known for is skipped unread.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::thread::LocalKey;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::json::{Number, Text};

pub(super) use names::Names;

mod names;

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

    /// Where this thread remembers this format's names: serde hands nothing down to a record's type.
    fn names() -> &'static LocalKey<RefCell<Names>>;
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// The fact of that index, under a name of that rank.
    Fact(usize, u8),
    /// An object that holds facts.
    Group(usize),
    /// Nothing that is read.
    Nothing,
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
    fn keep(&mut self, index: usize, rank: u8, value: Text<'a>) -> bool {
        if value.get().is_empty() || value.get() == F::NOTHING {
            return true;
        }
        let found = &mut self.found[index];
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
        F::names().with_borrow_mut(|names| {
            let group = names.begin();
            deserializer.deserialize_map(Group { record: &mut record, names, group })
        })?;
        Ok(record)
    }
}

/// An object, and the group that its name makes it.
struct Group<'r, 'a, F> {
    record: &'r mut Loose<'a, F>,
    names: &'r mut Names,
    group: usize,
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
        let Self { record, names, group } = self;
        while let Some(key) = map.next_key::<Text<'de>>()? {
            match names.meaning::<F>(group, key.get()) {
                Meaning::Fact(index, rank) => {
                    if !record.keep(index, rank, map.next_value()?) {
                        let name = names.name(group, key.get());
                        return Err(A::Error::custom(format_args!("duplicate field `{name}`")));
                    }
                }
                Meaning::Group(group) => map.next_value_seed(Group { record, names, group })?,
                Meaning::Nothing => drop(map.next_value::<IgnoredAny>()?),
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::json;

    thread_local! {
        static NAMES: RefCell<Names> = RefCell::default();
    }

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

        fn names() -> &'static LocalKey<RefCell<Names>> {
            &NAMES
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
    fn what_is_remembered_of_earlier_records_changes_nothing() {
        let shapes = [
            r#"{"ip":"192.0.2.1","identity":{"source-ip":"192.0.2.2"},"status":200}"#,
            r#"{"status":200,"ip":"192.0.2.2"}"#,
            r#"{"identity":{"ip":"192.0.2.9","status":500},"status":200,"IP":"192.0.2.2"}"#,
            r#"{"source-ip":"192.0.2.9","identity":{"source-ip":"192.0.2.2","source_ip":"192.0.2.2"},"status":200}"#,
            r#"{"identity":{"-":{"source-ip":"192.0.2.9"}},"ip":"192.0.2.2","status":200}"#,
        ];
        for turn in 0..3_000 {
            check(shapes[turn * turn % 7 % shapes.len()], "192.0.2.2", Number::Value(200));
            let others: String = (0..turn % 5).map(|n| format!(r#""k{turn}.{n}":{{"ip":1}},"#)).collect();
            check(&format!(r#"{{{others}"ip":"192.0.2.2","status":200}}"#), "192.0.2.2", Number::Value(200));
        }
        NAMES.with_borrow(|names| assert_eq!(names.keys_remembered(), names::KEYS_MAX));
    }

    #[test]
    fn two_values_of_one_name_are_refused() {
        let record = r#"{"status":200,"Status":"500"}"#;
        let refusal = json::parse::<Loose<'_, Said>>(record).err().unwrap();
        assert_eq!(refusal.detail, "duplicate field `status` at line 1 column 29");
    }
}
