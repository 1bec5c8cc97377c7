//! Reads a review no further than it takes to decide: before each pod of the namespace stands Torch, and few
//! of them are configured.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Unexpected, Visitor};
use serde_json::Error;

use super::lazy::Json;
use super::{Metadata, Request, Uid};

/// Reads a review. Once a pod's metadata is read and `is_concerned` says no, the rest is left unread, and
/// neither is it told whether it is sound.
///
/// API servers write fields in the order of their Go types: what is asked stands before the pod, its
/// metadata before its spec. A review in another order is read to its end.
pub fn read<'a>(body: &'a [u8], is_concerned: impl Fn(&Request<'a>) -> bool) -> Result<Request<'a>, Error> {
    let mut reader = Reader { request: Request::default(), is_concerned, concerned: None };
    let mut json = Json::new(body);
    let read = reader.at(Level::Review).deserialize(&mut json).and_then(|()| json.end());
    match read {
        Err(error) if reader.concerned != Some(false) => Err(error),
        _ if reader.request.uid.is_empty() => Err(Error::missing_field("uid")),
        _ => Ok(reader.request),
    }
}

struct Reader<'a, F> {
    request: Request<'a>,
    is_concerned: F,
    /// What that said, once there was enough to ask it.
    concerned: Option<bool>,
}

/// Where in the review.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Level {
    Review,
    Request,
    Pod,
    Metadata,
}

/// What is read, of whatever it is a field.
#[derive(Clone, Copy, Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Field {
    Request,
    Uid,
    Kind,
    Name,
    Namespace,
    Operation,
    Object,
    Metadata,
    Labels,
    Annotations,
    OwnerReferences,
    ManagedFields,
    Spec,
    #[serde(other)]
    Other,
}

struct At<'r, 'a, F> {
    level: Level,
    reader: &'r mut Reader<'a, F>,
}

impl<'a, F: Fn(&Request<'a>) -> bool> Reader<'a, F> {
    fn at(&mut self, level: Level) -> At<'_, 'a, F> {
        At { level, reader: self }
    }

    fn review<A: MapAccess<'a>>(&mut self, field: Field, map: &mut A) -> Result<(), A::Error> {
        match field {
            Field::Request => {
                // The last of several counts, and nothing of those before it.
                self.request = Request::default();
                map.next_value_seed(self.at(Level::Request))
            }
            _ => skip(map),
        }
    }

    fn request<A: MapAccess<'a>>(&mut self, field: Field, map: &mut A) -> Result<(), A::Error> {
        let request = &mut self.request;
        match field {
            Field::Uid => request.uid = map.next_value::<Uid<'_>>()?.0,
            Field::Kind => request.kind = map.next_value()?,
            Field::Name => request.name = map.next_value()?,
            Field::Namespace => request.namespace = map.next_value()?,
            Field::Operation => request.operation = map.next_value()?,
            Field::Object => {
                (request.metadata, request.spec) = Default::default();
                map.next_value_seed(self.at(Level::Pod))?;
            }
            _ => skip(map)?,
        }
        Ok(())
    }

    fn pod<A: MapAccess<'a>>(&mut self, field: Field, map: &mut A) -> Result<(), A::Error> {
        match field {
            Field::Metadata => {
                self.request.metadata = Some(Metadata::default());
                map.next_value_seed(self.at(Level::Metadata))?;
                self.end_if_unconcerned()
            }
            Field::Spec => map.next_value().map(|spec| self.request.spec = spec),
            _ => skip(map),
        }
    }

    fn metadata<A: MapAccess<'a>>(&mut self, field: Field, map: &mut A) -> Result<(), A::Error> {
        let metadata = self.request.metadata.get_or_insert_default();
        match field {
            Field::Name => metadata.name = map.next_value()?,
            Field::Labels => metadata.labels = map.next_value()?,
            Field::Annotations => metadata.annotations = map.next_value()?,
            Field::OwnerReferences => metadata.owner_references = map.next_value()?,
            Field::ManagedFields => {
                // As large as the rest of the pod, and after what names it: in a pod of a workload, that is.
                if metadata.owner_references.is_some() {
                    self.end_if_unconcerned()?;
                }
                self.request.metadata.get_or_insert_default().managed_fields = map.next_value()?;
            }
            _ => skip(map)?,
        }
        Ok(())
    }

    /// Ends the reading, by an error, where what has been read says enough.
    fn end_if_unconcerned<E: serde::de::Error>(&mut self) -> Result<(), E> {
        let Request { kind, namespace, operation, .. } = &self.request;
        let is_asked = [&kind.kind, namespace, operation].iter().all(|text| !text.is_empty());
        if self.concerned.is_none() && is_asked {
            self.concerned = Some((self.is_concerned)(&self.request));
        }
        if self.concerned == Some(false) { Err(E::custom("enough is read")) } else { Ok(()) }
    }
}

fn skip<'a, A: MapAccess<'a>>(map: &mut A) -> Result<(), A::Error> {
    map.next_value::<IgnoredAny>().map(|_| ())
}

impl<'a, F: Fn(&Request<'a>) -> bool> DeserializeSeed<'a> for At<'_, 'a, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a, F: Fn(&Request<'a>) -> bool> Visitor<'a> for At<'_, 'a, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {:?} as a map", self.level)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        // What is deleted has no object.
        if self.level == Level::Pod { Ok(()) } else { Err(E::invalid_type(Unexpected::Unit, &self)) }
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(field) = map.next_key()? {
            match self.level {
                Level::Review => self.reader.review(field, &mut map)?,
                Level::Request => self.reader.request(field, &mut map)?,
                Level::Pod => self.reader.pod(field, &mut map)?,
                Level::Metadata => self.reader.metadata(field, &mut map)?,
            }
        }
        let is_nameless = self.level == Level::Pod && self.reader.request.metadata.is_none();
        if is_nameless { Err(A::Error::missing_field("metadata")) } else { Ok(()) }
    }
}
