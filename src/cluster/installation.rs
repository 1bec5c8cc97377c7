//! What an operator asks of the API server about an installation of Torch. Torch itself asks none of it.

use std::fmt;

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::{EndpointPort, EndpointSlice};
use kube::Api;
use kube::api::{ListParams, PostParams};

use super::own::Registration;
use super::{Cluster, Error, call};

/// Something that Torch may do by its manifests.
#[derive(Clone, Copy, Debug)]
pub struct Right<'a> {
    /// The verb.
    pub verb: &'static str,
    /// The API group; empty for the core.
    pub group: &'static str,
    /// The resource, with its subresource: `pods/exec`.
    pub resource: &'static str,
    /// The object, where it is of one only.
    pub name: Option<&'a str>,
    /// Whether it is one of the namespace.
    pub is_namespaced: bool,
}

impl fmt::Display for Right<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        self.name.map_or(Ok(()), |name| write!(f, " {name}"))
    }
}

/// How a pod is set up.
#[derive(Debug)]
pub struct Setup {
    /// The ServiceAccount that it runs as.
    pub service_account: String,
    /// The arguments of its containers.
    pub arguments: Vec<String>,
}

/// What is behind a port of a Service.
#[derive(Debug, PartialEq, Eq)]
pub enum Endpoints {
    /// Pods.
    Pods(Vec<Endpoint>),
    /// Nothing: the Service has these ports, not that one.
    OtherPorts(Vec<String>),
}

/// A pod behind a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The pod.
    pub pod: String,
    /// The port that it serves on.
    pub port: u16,
    /// Whether it is ready.
    pub is_ready: bool,
}

impl Cluster {
    /// The API server's version, such as `v1.37.0`.
    ///
    /// # Errors
    /// Where the call fails.
    pub async fn server_version(&self) -> Result<String, Error> {
        Ok(call(|| "get the version".into(), self.client.apiserver_version()).await?.git_version)
    }

    /// The registrations of webhooks whose Service is in this namespace.
    ///
    /// # Errors
    /// Where the call fails.
    pub async fn registrations(&self) -> Result<Vec<Registration>, Error> {
        let api: Api<MutatingWebhookConfiguration> = Api::all(self.client.clone());
        let act = || "list mutatingwebhookconfigurations".into();
        let all = call(act, api.list(&ListParams::default())).await?.items.into_iter().map(Registration::of);
        let is_ours = |service: (&str, &str)| service.1 == self.namespace;
        Ok(all.filter(|registration| registration.service().is_some_and(is_ours)).collect())
    }

    /// What is behind a port of a Service.
    ///
    /// # Errors
    /// Where a call fails, or there is no such Service.
    pub async fn endpoints(&self, service: &str, port: u16) -> Result<Endpoints, Error> {
        let found = call(|| format!("get service {service}"), self.api::<Service>().get(service)).await?;
        let ports = found.spec.and_then(|spec| spec.ports).unwrap_or_default();
        let Some(found) = ports.iter().find(|found| found.port == i32::from(port)) else {
            return Ok(Endpoints::OtherPorts(ports.iter().map(|port| port.port.to_string()).collect()));
        };
        let of_service = ListParams::default().labels(&format!("kubernetes.io/service-name={service}"));
        let act = || format!("list endpointslices of {service}");
        let slices = call(act, self.api::<EndpointSlice>().list(&of_service)).await?;
        let pods = slices.items.iter().flat_map(|slice| endpoints(slice, found.name.as_deref()));
        Ok(Endpoints::Pods(pods.collect()))
    }

    /// How a pod of Torch is set up.
    ///
    /// # Errors
    /// Where the call fails, or there is no such pod.
    pub async fn setup(&self, pod: &str) -> Result<Setup, Error> {
        let pod = call(|| format!("get pod {pod}"), self.api::<Pod>().get(pod)).await?;
        let spec = pod.spec.unwrap_or_default();
        let service_account = spec.service_account_name.unwrap_or_else(|| "default".into());
        let arguments = spec.containers.into_iter().flat_map(|container| container.args.unwrap_or_default());
        Ok(Setup { service_account, arguments: arguments.collect() })
    }

    /// Whether a ServiceAccount of this namespace has that right.
    ///
    /// # Errors
    /// Where the call fails.
    pub async fn has_right(&self, service_account: &str, right: Right<'_>) -> Result<bool, Error> {
        let (resource, subresource) = match right.resource.split_once('/') {
            Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
            None => (right.resource, None),
        };
        let attributes = ResourceAttributes {
            namespace: right.is_namespaced.then(|| self.namespace.clone()),
            verb: Some(right.verb.into()),
            group: Some(right.group.into()),
            resource: Some(resource.into()),
            subresource,
            name: right.name.map(String::from),
            ..ResourceAttributes::default()
        };
        let spec = SubjectAccessReviewSpec {
            user: Some(format!("system:serviceaccount:{}:{service_account}", self.namespace)),
            groups: Some(vec![
                "system:serviceaccounts".into(),
                format!("system:serviceaccounts:{}", self.namespace),
                "system:authenticated".into(),
            ]),
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        };
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let act = || "create a subjectaccessreview".into();
        let answer = call(act, api.create(&PostParams::default(), &review)).await?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }
}

/// Those that have a port of that name; the only port of a Service needs none.
fn endpoints(slice: &EndpointSlice, name: Option<&str>) -> Vec<Endpoint> {
    let is_named =
        |port: &&EndpointPort| port.name.as_deref().unwrap_or_default() == name.unwrap_or_default();
    let port = slice.ports.iter().flatten().find(is_named).and_then(|port| u16::try_from(port.port?).ok());
    let all = slice.endpoints.iter().flatten().filter_map(|endpoint| {
        Some(Endpoint {
            pod: endpoint.target_ref.as_ref()?.name.clone()?,
            port: port?,
            is_ready: endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) != Some(false),
        })
    });
    all.collect()
}
