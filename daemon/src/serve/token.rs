//! Resume tokens of watchers: where to go on, and in which store.
//!
//! In: a place in the sequence of changes. Out: hex that only this module reads. A token of another state
//! folder, or one that was altered, is never taken for a place.

use xxhash_rust::xxh3::xxh3_64;

/// Where a watch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resume {
    /// With the open findings.
    Current,
    /// With the first change whose number is larger.
    After(u64),
}

/// Why a token is no place to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not one of ours.
    #[error("it is not a resume token of shadowprod")]
    Malformed,
    /// From another state folder.
    #[error("it comes from another state folder")]
    OtherStore,
}

/// First byte of every token: the layout below.
const LAYOUT: u8 = 1;
const BYTES: usize = 1 + 8 + 8 + 4;
/// Stands for [`Resume::Current`]; no change ever has this number.
const CURRENT: u64 = u64::MAX;

/// Token for a place in the store with this instance id.
pub fn encode(instance: &str, resume: Resume) -> String {
    let number = match resume {
        Resume::Current => CURRENT,
        Resume::After(number) => number,
    };
    let mut bytes = Vec::with_capacity(BYTES);
    bytes.push(LAYOUT);
    bytes.extend(xxh3_64(instance.as_bytes()).to_be_bytes());
    bytes.extend(number.to_be_bytes());
    bytes.extend(checksum(&bytes));
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Place that a token names in the store with this instance id. The empty token is the beginning.
pub fn decode(instance: &str, token: &str) -> Result<Resume, TokenError> {
    if token.is_empty() {
        return Ok(Resume::Current);
    }
    let bytes = unhex(token).ok_or(TokenError::Malformed)?;
    let (body, sum) = bytes.split_at(BYTES - 4);
    if body[0] != LAYOUT || sum != checksum(body) {
        return Err(TokenError::Malformed);
    }
    if body[1..9] != xxh3_64(instance.as_bytes()).to_be_bytes() {
        return Err(TokenError::OtherStore);
    }
    let number = u64::from_be_bytes(body[9..].try_into().expect("eight bytes are left"));
    Ok(if number == CURRENT { Resume::Current } else { Resume::After(number) })
}

fn checksum(body: &[u8]) -> [u8; 4] {
    (xxh3_64(body) as u32).to_be_bytes()
}

fn unhex(token: &str) -> Option<[u8; BYTES]> {
    if token.len() != 2 * BYTES || !token.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; BYTES];
    for (byte, digits) in bytes.iter_mut().zip(token.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_names_its_place() {
        for resume in [Resume::Current, Resume::After(0), Resume::After(7), Resume::After(u64::MAX - 1)] {
            assert_eq!(decode("a", &encode("a", resume)), Ok(resume));
        }
        assert_eq!(decode("a", ""), Ok(Resume::Current));
    }

    #[test]
    fn token_of_another_store_is_refused() {
        assert_eq!(decode("b", &encode("a", Resume::After(7))), Err(TokenError::OtherStore));
    }

    #[test]
    fn altered_token_is_refused() {
        let token = encode("a", Resume::After(7));
        for index in 0..token.len() {
            let mut altered = token.clone();
            let digit = if &token[index..=index] == "0" { "1" } else { "0" };
            altered.replace_range(index..=index, digit);
            assert_eq!(decode("a", &altered), Err(TokenError::Malformed), "{altered}");
        }
        for wrong in ["x", "+", "é", &token[1..], &"é".repeat(21), &format!("{token}00")] {
            assert_eq!(decode("a", wrong), Err(TokenError::Malformed), "{wrong}");
        }
    }
}
