//! Reads a review no further than it takes to decide: before each pod of the namespace stands Torch, and few
//! of them are configured.

use super::json::{Json, Read};
use super::{MAX_UID, Metadata, Request};

/// Reads a review. Once a pod's metadata is read and `is_concerned` says no, the rest is left unread, and
/// neither is it told whether it is sound.
///
/// API servers write fields in the order of their Go types: what is asked stands before the pod, its
/// metadata before its spec. Of a review in another order less may be known when that is asked.
pub fn read<'a>(body: &'a [u8], is_concerned: impl Fn(&Request<'a>) -> bool) -> Read<Request<'a>> {
    let mut reader = Reader { request: Request::default(), is_concerned, concerned: None };
    let mut json = Json::new(body);
    let whole = reader.review(&mut json).and_then(|()| json.end());
    let is_enough = whole.is_some() || reader.concerned == Some(false);
    (is_enough && (1..=MAX_UID).contains(&str::len(&reader.request.uid))).then_some(reader.request)
}

struct Reader<'a, F> {
    request: Request<'a>,
    is_concerned: F,
    /// What that said, once there was enough to ask it.
    concerned: Option<bool>,
}

impl<'a, F: Fn(&Request<'a>) -> bool> Reader<'a, F> {
    fn review(&mut self, json: &mut Json<'a>) -> Read<()> {
        json.fields(|field, json| match field {
            b"request" => {
                // The last of several counts, and nothing of those before it.
                self.request = Request::default();
                self.request(json)
            }
            _ => json.skip(),
        })
    }

    fn request(&mut self, json: &mut Json<'a>) -> Read<()> {
        json.fields(|field, json| {
            let request = &mut self.request;
            match field {
                b"uid" => request.uid = json.read()?,
                b"kind" => request.kind = json.read()?,
                b"name" => request.name = json.read()?,
                b"namespace" => request.namespace = json.read()?,
                b"operation" => request.operation = json.read()?,
                b"object" => {
                    (request.metadata, request.spec) = Default::default();
                    self.pod(json)?;
                }
                _ => json.skip()?,
            }
            Some(())
        })
    }

    /// What is deleted has no object.
    fn pod(&mut self, json: &mut Json<'a>) -> Read<()> {
        if json.null()? {
            return Some(());
        }
        json.fields(|field, json| match field {
            b"metadata" => {
                self.request.metadata = Some(Metadata::default());
                self.metadata(json)?;
                self.end_if_unconcerned()
            }
            b"spec" => json.read().map(|spec| self.request.spec = spec),
            _ => json.skip(),
        })?;
        self.request.metadata.is_some().then_some(())
    }

    fn metadata(&mut self, json: &mut Json<'a>) -> Read<()> {
        json.fields(|field, json| {
            let metadata = self.request.metadata.get_or_insert_default();
            match field {
                b"name" => metadata.name = json.read()?,
                b"labels" => metadata.labels = json.read()?,
                b"annotations" => metadata.annotations = json.read()?,
                b"ownerReferences" => metadata.owner_references = json.read()?,
                b"managedFields" => {
                    // As large as the rest of the pod, and after what names it: in a pod of a workload, that is.
                    if metadata.owner_references.is_some() {
                        self.end_if_unconcerned()?;
                    }
                    self.request.metadata.get_or_insert_default().managed_fields = json.read()?;
                }
                _ => json.skip()?,
            }
            Some(())
        })
    }

    /// Ends the reading, as if there were something wrong, where what has been read says enough.
    fn end_if_unconcerned(&mut self) -> Read<()> {
        let Request { kind, namespace, operation, .. } = &self.request;
        let is_asked = [&kind.kind, namespace, operation].iter().all(|text| !text.is_empty());
        if self.concerned.is_none() && is_asked {
            self.concerned = Some((self.is_concerned)(&self.request));
        }
        (self.concerned != Some(false)).then_some(())
    }
}
