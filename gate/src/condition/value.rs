//! Values of conditions: what they hold for themselves, and what they see of an event without copying it.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tidegate_protocol::json;

use super::Failure;
use crate::content;

/// An owned value: of a literal, or of a claim. Equal ones are the same value, so that views can be shared.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Const {
    Null,
    Bool(bool),
    Int(i128),
    Double(Bits),
    Text(Arc<str>),
    List(Arc<[Const]>),
    Map(Arc<BTreeMap<Box<str>, Const>>),
    /// Milliseconds since the epoch.
    Time(i64),
    /// Milliseconds.
    Span(i64),
}

/// A finite number with a fraction, compared by its bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Bits(u64);

/// A value while a condition is evaluated: `'c` is the condition's and its claims', `'e` the event's.
#[derive(Debug, Clone)]
pub(crate) enum Val<'c, 'e> {
    Null,
    Bool(bool),
    Int(i128),
    Double(f64),
    Text(Cow<'e, str>),
    /// A list or an object of the event.
    Json(&'e str),
    /// A text, list or map of the condition.
    Const(&'c Const),
    Time(i64),
    Span(i64),
}

impl From<f64> for Bits {
    fn from(number: f64) -> Self {
        Self(number.to_bits())
    }
}

impl From<Bits> for f64 {
    fn from(bits: Bits) -> Self {
        Self::from_bits(bits.0)
    }
}

impl Const {
    /// The value of a claim.
    pub(crate) fn of(value: &serde_json::Value) -> Result<Self, Failure> {
        use serde_json::Value;
        Ok(match value {
            Value::Null => Self::Null,
            Value::Bool(flag) => Self::Bool(*flag),
            Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
                (Some(whole), ..) => Self::Int(whole.into()),
                (_, Some(whole), _) => Self::Int(whole.into()),
                // What is beyond 64 bits was rounded when the token was read: it can not be compared.
                (.., Some(double)) if double.is_finite() && double.abs() < ROUNDED => Self::Double(double.into()),
                _ => return Err(Failure::Number),
            },
            Value::String(text) => Self::Text(text.as_str().into()),
            Value::Array(items) => Self::List(items.iter().map(Self::of).collect::<Result<_, _>>()?),
            Value::Object(members) => {
                let member =
                    |(name, value): (&String, &Value)| Self::of(value).map(|value| (Box::from(name.as_str()), value));
                Self::Map(Arc::new(members.iter().map(member).collect::<Result<_, _>>()?))
            }
        })
    }

    /// The value of validated JSON text, which must not repeat members.
    fn read(text: &str) -> Result<Self, Failure> {
        Ok(match Val::of_json(text)? {
            Val::Json(list) if list.starts_with('[') => {
                let mut items = Vec::new();
                json::elements(list, &mut items).map_err(|_| Failure::Unreadable)?;
                Self::List(items.into_iter().map(Self::read).collect::<Result<_, _>>()?)
            }
            Val::Json(object) => {
                let mut members = Vec::new();
                json::members(object, &mut members).map_err(|_| Failure::Unreadable)?;
                let mut map = BTreeMap::new();
                for member in members {
                    if map.insert(member.name.into(), Self::read(member.value)?).is_some() {
                        return Err(Failure::Repeated);
                    }
                }
                Self::Map(Arc::new(map))
            }
            scalar => scalar.into_const()?,
        })
    }

    /// As a value of an evaluation.
    pub(crate) fn val<'e>(&self) -> Val<'_, 'e> {
        match self {
            Self::Null => Val::Null,
            Self::Bool(flag) => Val::Bool(*flag),
            Self::Int(number) => Val::Int(*number),
            Self::Double(number) => Val::Double((*number).into()),
            Self::Time(at) => Val::Time(*at),
            Self::Span(length) => Val::Span(*length),
            Self::Text(_) | Self::List(_) | Self::Map(_) => Val::Const(self),
        }
    }
}

/// As JSON, for people.
impl fmt::Display for Const {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(flag) => write!(f, "{flag}"),
            Self::Int(number) => write!(f, "{number}"),
            Self::Double(number) => write!(f, "{:?}", f64::from(*number)),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::List(items) => f.debug_list().entries(items.iter().map(Shown)).finish(),
            Self::Map(members) => {
                f.debug_map().entries(members.iter().map(|(name, value)| (name, Shown(value)))).finish()
            }
            Self::Time(at) => f.write_str(&tidegate_protocol::timestamp::format(*at)),
            Self::Span(millis) => write!(f, "{millis}ms"),
        }
    }
}

struct Shown<'a>(&'a Const);

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.0, f)
    }
}

/// Doubles from here on may have been whole numbers that were rounded.
const ROUNDED: f64 = 18_446_744_073_709_551_616.0;

impl<'c, 'e> Val<'c, 'e> {
    /// The value of validated JSON text, without space around it.
    pub(crate) fn of_json(text: &'e str) -> Result<Self, Failure> {
        Ok(match text.as_bytes().first() {
            Some(b'{' | b'[') => Self::Json(text),
            Some(b'"') => Self::Text(content::string(text).ok_or(Failure::Unreadable)?),
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'n') => Self::Null,
            Some(_) => number(text)?,
            None => return Err(Failure::Unreadable),
        })
    }

    /// As an owned value.
    pub(crate) fn into_const(self) -> Result<Const, Failure> {
        Ok(match self {
            Self::Null => Const::Null,
            Self::Bool(flag) => Const::Bool(flag),
            Self::Int(number) => Const::Int(number),
            Self::Double(number) => Const::Double(number.into()),
            Self::Text(text) => Const::Text(text.into()),
            Self::Json(text) => Const::read(text)?,
            Self::Const(value) => value.clone(),
            Self::Time(at) => Const::Time(at),
            Self::Span(length) => Const::Span(length),
        })
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Const(Const::Text(text)) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn flag(&self) -> Result<bool, Failure> {
        match self {
            Self::Bool(flag) => Ok(*flag),
            _ => Err(Failure::Type),
        }
    }

    fn is_compound(&self) -> bool {
        matches!(self, Self::Json(_) | Self::Const(Const::List(_) | Const::Map(_)))
    }

    /// Equality: values of different kinds are not equal, numbers are compared by what they are worth.
    pub(crate) fn equals(&self, other: &Val<'c, 'e>) -> Result<bool, Failure> {
        if let (Some(one), Some(other)) = (self.text(), other.text()) {
            return Ok(one == other);
        }
        if self.is_compound() && other.is_compound() {
            return Ok(same(&self.clone().into_const()?, &other.clone().into_const()?));
        }
        Ok(match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(one), Self::Bool(other)) => one == other,
            (Self::Time(one), Self::Time(other)) | (Self::Span(one), Self::Span(other)) => one == other,
            (Self::Int(_) | Self::Double(_), Self::Int(_) | Self::Double(_)) => {
                compare_numbers(self, other) == Some(Ordering::Equal)
            }
            _ => false,
        })
    }

    /// Order, of what has one; `None` where a number is none.
    pub(crate) fn compare(&self, other: &Val<'c, 'e>) -> Result<Option<Ordering>, Failure> {
        if let (Some(one), Some(other)) = (self.text(), other.text()) {
            return Ok(Some(one.cmp(other)));
        }
        match (self, other) {
            (Self::Bool(one), Self::Bool(other)) => Ok(Some(one.cmp(other))),
            (Self::Time(one), Self::Time(other)) | (Self::Span(one), Self::Span(other)) => Ok(Some(one.cmp(other))),
            (Self::Int(_) | Self::Double(_), Self::Int(_) | Self::Double(_)) => Ok(compare_numbers(self, other)),
            _ => Err(Failure::Type),
        }
    }
}

/// Whether two owned values are equal as [`Val::equals`] says.
fn same(one: &Const, other: &Const) -> bool {
    match (one, other) {
        (Const::List(one), Const::List(other)) => {
            one.len() == other.len() && one.iter().zip(other.iter()).all(|(one, other)| same(one, other))
        }
        (Const::Map(one), Const::Map(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, value)| other.get(name).is_some_and(|other| same(value, other)))
        }
        (Const::List(_), Const::Map(_)) | (Const::Map(_), Const::List(_)) => false,
        // At most one is compound, so nothing is read that could fail.
        _ => one.val().equals(&other.val()).unwrap_or(false),
    }
}

fn compare_numbers(one: &Val<'_, '_>, other: &Val<'_, '_>) -> Option<Ordering> {
    match (one, other) {
        (Val::Int(one), Val::Int(other)) => Some(one.cmp(other)),
        (Val::Double(one), Val::Double(other)) => one.partial_cmp(other),
        (Val::Int(whole), Val::Double(double)) => whole_with_double(*whole, *double),
        (Val::Double(double), Val::Int(whole)) => whole_with_double(*whole, *double).map(Ordering::reverse),
        _ => None,
    }
}

/// Exact, where turning the whole number into a double would round it.
fn whole_with_double(whole: i128, double: f64) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    // Beyond the range of whole numbers this saturates, and stays on its side.
    let floor = double.floor() as i128;
    Some(whole.cmp(&floor).then(if double.fract() > 0.0 || double.fract() < 0.0 {
        Ordering::Less
    } else {
        Ordering::Equal
    }))
}

fn number<'c, 'e>(text: &str) -> Result<Val<'c, 'e>, Failure> {
    if text.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
        let double: f64 = text.parse().map_err(|_| Failure::Number)?;
        return if double.is_finite() { Ok(Val::Double(double)) } else { Err(Failure::Number) };
    }
    let whole: i128 = text.parse().map_err(|_| Failure::Number)?;
    // What others may have rounded is not compared.
    let known = i128::from(i64::MIN)..=i128::from(u64::MAX);
    if known.contains(&whole) { Ok(Val::Int(whole)) } else { Err(Failure::Number) }
}
