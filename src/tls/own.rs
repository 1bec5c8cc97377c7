//! Certificates of Torch's own making: a CA, serving certificates signed by it, and what comes after them.
//!
//! A CA is renewed with overlap, in steps of which each is one write of the Secret, so that a crash between
//! any two is only a pause:
//!
//! 1. The next CA is made. It is trusted from now on, beside the one that signs, and signs nothing.
//! 2. Once everybody who verifies Torch trusts it, it signs. The CA before it is trusted on, …
//! 3. … until the last certificate that it signed has ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{GeneralName, X509Certificate};
use zeroize::Zeroizing;

use super::{
    CA_CRT, CA_KEY, END, Error, TLS_CRT, TLS_KEY, Validity, certificates, certified_key, check, parsed,
    unreadable,
};

/// How far a certificate reaches into the past, for clocks that are late.
const BACKDATED: SignedDuration = SignedDuration::from_hours(1);

/// Entries of the Secret beside those that every TLS Secret has.
const NEXT_CRT: &str = "next-ca.crt";
const NEXT_KEY: &str = "next-ca.key";
const PREVIOUS: &str = "previous.crt";

/// How long what is made lives.
#[derive(Clone, Copy, Debug)]
pub struct Lives {
    /// A CA.
    pub ca: SignedDuration,
    /// A serving certificate.
    pub leaf: SignedDuration,
}

impl Lives {
    /// Of what Torch keeps itself.
    pub const KEPT: Self =
        Self { ca: SignedDuration::from_hours(365 * 24), leaf: SignedDuration::from_hours(90 * 24) };

    /// Of what is mounted by hand, and renewed by hand.
    pub const BY_HAND: Self =
        Self { ca: SignedDuration::from_hours(10 * 365 * 24), leaf: SignedDuration::from_hours(365 * 24) };
}

/// A certificate and its private key, in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// Its key, in memory that is wiped when it is given back.
    pub key: Zeroizing<String>,
}

impl Pair {
    /// Makes a CA that lives for `life` from `now`.
    ///
    /// # Errors
    /// Where the system gives no randomness.
    pub fn ca(now: Timestamp, life: SignedDuration) -> Result<Self, Error> {
        let key = Zeroizing::new(KeyPair::generate()?);
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, format!("torch {}", now.as_second()));
        set_validity(&mut params, now, now + life);
        Ok(Self { certificate: params.self_signed(&*key)?.pem(), key: key.serialize_pem().into() })
    }

    /// A CA of somebody else's making, as its PEM says.
    ///
    /// # Errors
    /// Where it is not the valid certificate of a CA with its key.
    pub fn read_ca(certificate: String, key: Zeroizing<String>, now: Timestamp) -> Result<Self, Error> {
        let der = certificates(&certificate, CA_CRT)?;
        let parsed = parsed(&der[0], CA_CRT)?;
        let Validity { from, until } = Validity::of(&parsed);
        let own_key = Zeroizing::new(KeyPair::from_pem(&key).map_err(|e| unreadable(CA_KEY, e))?);
        let fault = if !parsed.is_ca() {
            Some((CA_CRT, "it is no CA's".into()))
        } else if *parsed.public_key().subject_public_key.data != *own_key.public_key_raw() {
            Some((CA_KEY, "it is not the key of `ca.crt`".into()))
        } else if !Validity::of(&parsed).holds(now) {
            Some((CA_CRT, format!("it is valid from {from} until {until} only")))
        } else {
            None
        };
        match fault {
            Some((entry, why)) => Err(unreadable(entry, why)),
            None => Ok(Self { certificate, key }),
        }
    }

    /// Has this CA sign a serving certificate for `names`, which lives for `life`, and no longer than the CA.
    ///
    /// # Errors
    /// Where this is no CA with its key.
    pub fn sign(&self, names: &[String], now: Timestamp, life: SignedDuration) -> Result<Self, Error> {
        let own_key = Zeroizing::new(KeyPair::from_pem(&self.key)?);
        let issuer = Issuer::from_ca_cert_pem(&self.certificate, &*own_key)?;
        let key = Zeroizing::new(KeyPair::generate()?);
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, names.first().cloned().unwrap_or_default());
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, now, self.validity()?.until.min(now + life));
        Ok(Self { certificate: params.signed_by(&*key, &issuer)?.pem(), key: key.serialize_pem().into() })
    }

    fn validity(&self) -> Result<Validity, Error> {
        validity(&self.certificate)
    }

    fn is_valid(&self, now: Timestamp) -> bool {
        self.validity().is_ok_and(|validity| validity.holds(now))
    }

    /// Past two thirds of its life.
    fn is_due(&self, now: Timestamp) -> bool {
        self.validity().is_ok_and(|Validity { from, until }| {
            now >= until - until.duration_since(from + BACKDATED) / 3 || now < from
        })
    }
}

/// A CA that signs no more, in PEM.
#[derive(Clone, PartialEq, Eq)]
struct Previous {
    /// The last certificate that it signed: as long as that may be shown, the CA is trusted.
    leaf: String,
    ca: String,
}

impl Previous {
    fn may_be_shown(&self, now: Timestamp) -> bool {
        validity(&self.leaf).is_ok_and(|validity| now < validity.until)
    }
}

/// All that Torch keeps of its certificates, as it stands in the Secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Own {
    ca: Pair,
    leaf: Pair,
    /// Trusted already; signs nothing yet.
    next: Option<Pair>,
    previous: Vec<Previous>,
}

impl Own {
    /// Makes a CA, and a serving certificate for `names`.
    ///
    /// # Errors
    /// Where the system gives no randomness.
    pub fn make(names: &[String], now: Timestamp, lives: Lives) -> Result<Self, Error> {
        let ca = Pair::ca(now, lives.ca)?;
        let leaf = ca.sign(names, now, lives.leaf)?;
        Ok(Self { ca, leaf, next: None, previous: Vec::new() })
    }

    /// Reads the entries of the Secret.
    ///
    /// # Errors
    /// Where there is not a serving certificate with its key, signed by a CA with its key. Entries beyond
    /// these, if they cannot be read, count as missing.
    pub fn read(entries: &BTreeMap<String, Zeroizing<Vec<u8>>>) -> Result<Self, Error> {
        let text = |entry: &'static str| {
            let bytes = entries.get(entry).ok_or(Error::Missing(entry))?;
            str::from_utf8(bytes).map(str::to_owned).map_err(|e| unreadable(entry, e))
        };
        let pair = |certificate, key| {
            Ok::<_, Error>(Pair { certificate: text(certificate)?, key: text(key)?.into() })
        };
        let (ca, leaf) = (pair(CA_CRT, CA_KEY)?, pair(TLS_CRT, TLS_KEY)?);
        is_signed_by(&leaf, &ca)?;
        let next = pair(NEXT_CRT, NEXT_KEY).ok().filter(is_ca);
        let previous = text(PREVIOUS).ok().and_then(|pem| read_previous(&pem)).unwrap_or_default();
        Ok(Self { ca, leaf, next, previous })
    }

    /// The entries of the Secret.
    pub fn entries(&self) -> BTreeMap<String, Zeroizing<Vec<u8>>> {
        let mut entries = BTreeMap::new();
        let mut add =
            |entry: &str, pem: &str| entries.insert(entry.to_owned(), pem.as_bytes().to_vec().into());
        for (pair, certificate, key) in [
            (Some(&self.ca), CA_CRT, CA_KEY),
            (Some(&self.leaf), TLS_CRT, TLS_KEY),
            (self.next.as_ref(), NEXT_CRT, NEXT_KEY),
        ] {
            if let Some(pair) = pair {
                add(certificate, &pair.certificate);
                add(key, &pair.key);
            }
        }
        if !self.previous.is_empty() {
            let pem: String = self.previous.iter().flat_map(|p| [p.leaf.as_str(), p.ca.as_str()]).collect();
            add(PREVIOUS, &pem);
        }
        entries
    }

    /// The serving certificate, for the server.
    ///
    /// # Errors
    /// None, of what was made or read.
    pub fn certified_key(&self) -> Result<Arc<CertifiedKey>, Error> {
        certified_key(&self.leaf.certificate, &self.leaf.key).map(Arc::new)
    }

    /// Whether the serving certificate is valid now, and for `name`.
    pub fn serves(&self, name: &str, now: Timestamp) -> bool {
        self.certified_key().is_ok_and(|key| check(&key, name, now).is_ok())
    }

    /// The CAs that everybody must trust who verifies Torch, in PEM: the one that signs first.
    pub fn trust(&self) -> String {
        let next = self.next.iter().map(|next| next.certificate.as_str());
        let previous = self.previous.iter().map(|previous| previous.ca.as_str());
        std::iter::once(self.ca.certificate.as_str()).chain(next).chain(previous).collect()
    }

    /// The CA that is to sign next, in PEM, if it is made.
    pub fn next_ca(&self) -> Option<&str> {
        self.next.as_ref().map(|next| next.certificate.as_str())
    }

    /// Trusts the CAs of `before`, whose certificates may be shown still, until these have ended.
    #[must_use]
    pub fn remembering(mut self, before: &Self, now: Timestamp) -> Self {
        let last = Previous { leaf: before.leaf.certificate.clone(), ca: before.ca.certificate.clone() };
        for previous in before.previous.iter().cloned().chain([last]) {
            if !self.trust().contains(&previous.ca) && previous.may_be_shown(now) {
                self.previous.push(previous);
            }
        }
        self
    }

    /// What it has to become, if anything is due at `now`. `announced` says that everybody trusts the next
    /// CA by now.
    ///
    /// # Errors
    /// Where a certificate cannot be made.
    pub fn ahead(
        &self,
        names: &[String],
        now: Timestamp,
        lives: Lives,
        announced: bool,
    ) -> Result<Option<Self>, Error> {
        let mut own = self.clone();
        let is_other_ca = own.renew_ca(now, lives, announced)?;
        own.renew_leaf(names, now, lives, is_other_ca)?;
        own.previous.retain(|previous| previous.may_be_shown(now));
        Ok((own != *self).then_some(own))
    }

    /// Says whether another CA signs from now on.
    fn renew_ca(&mut self, now: Timestamp, lives: Lives, announced: bool) -> Result<bool, Error> {
        let is_over = !self.ca.is_valid(now);
        self.next.take_if(|next| !next.is_valid(now));
        let announced = announced && self.next.is_some();
        if self.next.is_none() && (is_over || self.ca.is_due(now)) {
            self.next = Some(Pair::ca(now, lives.ca)?);
        }
        // Without a CA that is valid there is nothing left to wait for.
        let Some(next) = self.next.take_if(|_| announced || is_over) else { return Ok(false) };
        let (ca, leaf) = (std::mem::replace(&mut self.ca, next).certificate, self.leaf.certificate.clone());
        self.previous.push(Previous { leaf, ca });
        Ok(true)
    }

    /// It is due where another CA signs now, near the end of its life, and where it is not for these names. (Who
    /// signed it was seen when it was read. To see that again at every look took a fifth of an idle Torch's CPU.)
    fn renew_leaf(
        &mut self,
        names: &[String],
        now: Timestamp,
        lives: Lives,
        is_other_ca: bool,
    ) -> Result<(), Error> {
        let until = |pair: &Pair| pair.validity().map(|validity| validity.until);
        // It cannot outlive its CA: near the end of that a new one would be none the better.
        let gains = until(&self.leaf)? < until(&self.ca)? || !self.leaf.is_valid(now);
        let is_due = self.leaf.is_due(now) && gains;
        if is_due || is_other_ca || is_for(&self.leaf, names).is_err() {
            self.leaf = self.ca.sign(names, now, lives.leaf)?;
        }
        Ok(())
    }
}

fn set_validity(params: &mut CertificateParams, now: Timestamp, until: Timestamp) {
    let date = |at: Timestamp| {
        rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(at.as_second().unsigned_abs())
    };
    params.not_before = date(now - BACKDATED);
    params.not_after = date(until);
}

fn validity(pem: &str) -> Result<Validity, Error> {
    let der = certificates(pem, TLS_CRT)?;
    Ok(Validity::of(&parsed(&der[0], TLS_CRT)?))
}

fn is_ca(pair: &Pair) -> bool {
    let key = KeyPair::from_pem(&pair.key).map(Zeroizing::new);
    key.is_ok_and(|key| Issuer::from_ca_cert_pem(&pair.certificate, &*key).is_ok())
        && certified_key(&pair.certificate, &pair.key).is_ok()
}

fn read_previous(pem: &str) -> Option<Vec<Previous>> {
    let blocks: Vec<&str> = pem.split_inclusive(END).collect();
    let read = |pair: &[&str]| {
        let [leaf, ca] = pair else { return None };
        let both_parse = [leaf, ca].iter().all(|pem| validity(pem).is_ok());
        both_parse.then(|| Previous { leaf: (*leaf).to_owned(), ca: (*ca).to_owned() })
    };
    blocks.chunks(2).map(read).collect()
}

/// Each with its own key, and the one signed by the other.
fn is_signed_by(leaf: &Pair, ca: &Pair) -> Result<(), Error> {
    let key = certified_key(&leaf.certificate, &leaf.key)?;
    let ca_der = certificates(&ca.certificate, CA_CRT)?;
    let ca_certificate = parsed(&ca_der[0], CA_CRT)?;
    let signature = parsed(&key.cert[0], TLS_CRT)?.verify_signature(Some(ca_certificate.public_key()));
    signature.map_err(|_| Error::Signature)?;
    if is_ca(ca) { Ok(()) } else { Err(unreadable(CA_KEY, "it is not the key of `ca.crt`")) }
}

/// Whether it is for all of these names.
fn is_for(leaf: &Pair, names: &[String]) -> Result<(), Error> {
    let der = certificates(&leaf.certificate, TLS_CRT)?;
    let present = dns_names(&parsed(&der[0], TLS_CRT)?)?;
    match names.iter().find(|name| !present.contains(name)) {
        Some(name) => Err(Error::Name(name.clone())),
        None => Ok(()),
    }
}

fn dns_names(certificate: &X509Certificate<'_>) -> Result<Vec<String>, Error> {
    let extension = certificate.subject_alternative_name().map_err(|e| unreadable(TLS_CRT, e))?;
    let names = extension.iter().flat_map(|e| &e.value.general_names);
    let dns = names.filter_map(|name| match name {
        GeneralName::DNSName(dns) => Some((*dns).to_owned()),
        _ => None,
    });
    Ok(dns.collect())
}

#[cfg(test)]
mod tests;
