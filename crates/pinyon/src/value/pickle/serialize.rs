//! From serde types to a pickle of protocol 5.

use super::graph::MAX_DEPTH;
use super::opcode as op;
use super::writer::Writer;
use crate::error::{Error, ErrorKind, Result};
use crate::store::Integer;
use crate::value::plain::{JSON_NUMBER, JsonNumber};
use num_bigint::BigInt;
use serde::ser::{self, Serialize, Serializer};

/// How many elements CPython puts into one APPENDS or SETITEMS.
const BATCH: usize = 1000;

/// Serializes into a pickle.
#[derive(Default)]
pub(super) struct Pickler {
    writer: Writer,
    depth: usize,
}

impl Pickler {
    /// The pickle.
    pub(super) fn finish(self) -> Vec<u8> {
        self.writer.finish()
    }

    fn enter(&mut self) -> Result<()> {
        if self.depth == MAX_DEPTH {
            return Err(Error::new(
                ErrorKind::Value,
                format!("the value is nested deeper than {MAX_DEPTH} levels and cannot be cached"),
            ));
        }
        self.depth += 1;
        Ok(())
    }

    fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    fn batches(&mut self, kind: Kind, length: Option<usize>) -> Result<Batches<'_>> {
        self.enter()?;
        self.writer.constant(kind.empty);
        self.writer.memoize();
        Ok(Batches { pickler: self, kind, alone: length == Some(1), total: 0, open: 0, around: false })
    }

    fn tuple(&mut self, length: usize) -> Result<Tuple<'_>> {
        self.enter()?;
        self.writer.begin_value();
        if length > 3 {
            self.writer.write(&[op::MARK]);
        }
        Ok(Tuple { pickler: self, length, written: 0, around: false })
    }

    /// Opens the dict of a variant with content: `{name: content}`.
    fn open_variant(&mut self, variant: &'static str) -> Result<()> {
        self.enter()?;
        self.writer.constant(op::EMPTY_DICT);
        self.writer.memoize();
        self.writer.name(variant);
        Ok(())
    }

    fn close_variant(&mut self) {
        self.writer.write(&[op::SETITEM]);
        self.leave();
    }

    /// An integer of any size.
    pub(super) fn integer(&mut self, number: &Integer) {
        match number {
            Integer::Small(number) => self.writer.int(*number),
            Integer::Big(number) => self.writer.long(&number.to_signed_bytes_le()),
        }
    }

    /// A number of serde_json with all its digits.
    fn json_number(&mut self, digits: &str) -> Result<()> {
        if let Some(number) = BigInt::parse_bytes(digits.as_bytes(), 10) {
            self.integer(&Integer::from(number));
            return Ok(());
        }
        let number = digits.parse().map_err(|_| Error::new(ErrorKind::Value, "a JSON number is no number"))?;
        self.writer.float(number);
        Ok(())
    }
}

impl<'a> Serializer for &'a mut Pickler {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Batches<'a>;
    type SerializeTuple = Tuple<'a>;
    type SerializeTupleStruct = Tuple<'a>;
    type SerializeTupleVariant = Tuple<'a>;
    type SerializeMap = Batches<'a>;
    type SerializeStruct = Struct<'a>;
    type SerializeStructVariant = Batches<'a>;

    fn serialize_bool(self, value: bool) -> Result<()> {
        self.writer.constant(if value { op::NEWTRUE } else { op::NEWFALSE });
        Ok(())
    }

    fn serialize_i8(self, number: i8) -> Result<()> {
        self.serialize_i64(i64::from(number))
    }

    fn serialize_i16(self, number: i16) -> Result<()> {
        self.serialize_i64(i64::from(number))
    }

    fn serialize_i32(self, number: i32) -> Result<()> {
        self.serialize_i64(i64::from(number))
    }

    fn serialize_i64(self, number: i64) -> Result<()> {
        self.writer.int(number);
        Ok(())
    }

    fn serialize_i128(self, number: i128) -> Result<()> {
        match i64::try_from(number) {
            Ok(number) => self.writer.int(number),
            Err(_) => self.writer.long(&number.to_le_bytes()),
        }
        Ok(())
    }

    fn serialize_u8(self, number: u8) -> Result<()> {
        self.serialize_i64(i64::from(number))
    }

    fn serialize_u16(self, number: u16) -> Result<()> {
        self.serialize_i64(i64::from(number))
    }

    fn serialize_u32(self, number: u32) -> Result<()> {
        self.serialize_i64(i64::from(number))
    }

    fn serialize_u64(self, number: u64) -> Result<()> {
        self.serialize_i128(i128::from(number))
    }

    fn serialize_u128(self, number: u128) -> Result<()> {
        if let Ok(number) = i128::try_from(number) {
            return self.serialize_i128(number);
        }
        // One more byte, or the highest bit would be taken for the sign.
        self.writer.long(&[&number.to_le_bytes()[..], &[0]].concat());
        Ok(())
    }

    fn serialize_f32(self, number: f32) -> Result<()> {
        self.serialize_f64(f64::from(number))
    }

    fn serialize_f64(self, number: f64) -> Result<()> {
        self.writer.float(number);
        Ok(())
    }

    fn serialize_char(self, character: char) -> Result<()> {
        self.serialize_str(character.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, text: &str) -> Result<()> {
        self.writer.str(text);
        Ok(())
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<()> {
        self.writer.bytes(bytes);
        Ok(())
    }

    fn serialize_none(self) -> Result<()> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<()> {
        self.writer.constant(op::NONE);
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<()> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _name: &'static str, _index: u32, variant: &'static str) -> Result<()> {
        self.writer.name(variant);
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _name: &'static str, value: &T) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<()> {
        self.open_variant(variant)?;
        value.serialize(&mut *self)?;
        self.close_variant();
        Ok(())
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Batches<'a>> {
        self.batches(LIST, length)
    }

    fn serialize_tuple(self, length: usize) -> Result<Tuple<'a>> {
        self.tuple(length)
    }

    fn serialize_tuple_struct(self, _name: &'static str, length: usize) -> Result<Tuple<'a>> {
        self.tuple(length)
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Tuple<'a>> {
        self.open_variant(variant)?;
        Ok(Tuple { around: true, ..self.tuple(length)? })
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Batches<'a>> {
        self.batches(DICT, length)
    }

    fn serialize_struct(self, name: &'static str, length: usize) -> Result<Struct<'a>> {
        if name == JSON_NUMBER {
            return Ok(Struct::JsonNumber(self, JsonNumber::default()));
        }
        Ok(Struct::Dict(self.batches(DICT, Some(length))?))
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Batches<'a>> {
        self.open_variant(variant)?;
        Ok(Batches { around: true, ..self.batches(DICT, Some(length))? })
    }
}

/// The opcodes of a list or dict.
struct Kind {
    empty: u8,
    one: u8,
    many: u8,
    /// CPython looks for more entries of a dict after each full batch, and closes that batch even if there are none.
    empty_last_batch: bool,
}

const LIST: Kind = Kind { empty: op::EMPTY_LIST, one: op::APPEND, many: op::APPENDS, empty_last_batch: false };
const DICT: Kind = Kind { empty: op::EMPTY_DICT, one: op::SETITEM, many: op::SETITEMS, empty_last_batch: true };

/// A list or dict that is being filled.
pub(super) struct Batches<'a> {
    pickler: &'a mut Pickler,
    kind: Kind,
    /// The type has said that there will be one element, which needs no mark.
    alone: bool,
    total: usize,
    /// Elements since the last mark.
    open: usize,
    /// Whether this is the content of a variant.
    around: bool,
}

impl Batches<'_> {
    fn begin_element(&mut self) {
        if !self.alone && self.open == 0 {
            self.pickler.writer.write(&[op::MARK]);
        }
    }

    fn end_element(&mut self) {
        self.total += 1;
        if self.alone {
            self.pickler.writer.write(&[self.kind.one]);
            // Should there be more than was said, they go on in batches.
            self.alone = false;
            return;
        }
        self.open += 1;
        if self.open == BATCH {
            self.pickler.writer.write(&[self.kind.many]);
            self.open = 0;
        }
    }

    fn close(self) {
        let writer = &mut self.pickler.writer;
        if self.open > 0 {
            writer.write(&[self.kind.many]);
        } else if self.kind.empty_last_batch && self.total >= BATCH {
            writer.write(&[op::MARK, self.kind.many]);
        }
        self.pickler.leave();
        if self.around {
            self.pickler.close_variant();
        }
    }

    fn named<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<()> {
        self.begin_element();
        self.pickler.writer.name(name);
        value.serialize(&mut *self.pickler)?;
        self.end_element();
        Ok(())
    }
}

impl ser::SerializeSeq for Batches<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.begin_element();
        value.serialize(&mut *self.pickler)?;
        self.end_element();
        Ok(())
    }

    fn end(self) -> Result<()> {
        self.close();
        Ok(())
    }
}

impl ser::SerializeMap for Batches<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        self.begin_element();
        key.serialize(&mut *self.pickler)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        value.serialize(&mut *self.pickler)?;
        self.end_element();
        Ok(())
    }

    fn end(self) -> Result<()> {
        self.close();
        Ok(())
    }
}

impl ser::SerializeStructVariant for Batches<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<()> {
        self.named(key, value)
    }

    fn end(self) -> Result<()> {
        self.close();
        Ok(())
    }
}

/// A struct, or the number that serde_json dresses as one.
pub(super) enum Struct<'a> {
    Dict(Batches<'a>),
    JsonNumber(&'a mut Pickler, JsonNumber),
}

impl ser::SerializeStruct for Struct<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<()> {
        match self {
            Self::Dict(dict) => dict.named(key, value),
            Self::JsonNumber(_, number) => {
                number.field(value);
                Ok(())
            }
        }
    }

    fn end(self) -> Result<()> {
        match self {
            Self::Dict(dict) => {
                dict.close();
                Ok(())
            }
            Self::JsonNumber(pickler, number) => pickler.json_number(&number.digits),
        }
    }
}

/// A tuple that is being filled.
pub(super) struct Tuple<'a> {
    pickler: &'a mut Pickler,
    length: usize,
    written: usize,
    /// Whether this is the content of a variant.
    around: bool,
}

impl Tuple<'_> {
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.written += 1;
        value.serialize(&mut *self.pickler)
    }

    fn close(self) -> Result<()> {
        if self.written != self.length {
            return Err(Error::new(ErrorKind::Value, "a tuple has another length than its type says"));
        }
        let writer = &mut self.pickler.writer;
        match self.length {
            0 => writer.write(&[op::EMPTY_TUPLE]),
            length => {
                writer.write(&[match length {
                    1 => op::TUPLE1,
                    2 => op::TUPLE2,
                    3 => op::TUPLE3,
                    _ => op::TUPLE,
                }]);
                writer.memoize();
            }
        }
        self.pickler.leave();
        if self.around {
            self.pickler.close_variant();
        }
        Ok(())
    }
}

impl ser::SerializeTuple for Tuple<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.element(value)
    }

    fn end(self) -> Result<()> {
        self.close()
    }
}

impl ser::SerializeTupleStruct for Tuple<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.element(value)
    }

    fn end(self) -> Result<()> {
        self.close()
    }
}

impl ser::SerializeTupleVariant for Tuple<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.element(value)
    }

    fn end(self) -> Result<()> {
        self.close()
    }
}
