//! The way to a port of a pod, by the API server.

use k8s_openapi::api::core::v1::Pod;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Cluster, Error, call};

impl Cluster {
    /// A connection to a port on the pod's own loopback.
    ///
    /// # Errors
    /// Where the API server opens none. That nobody listens there is only seen when the connection ends.
    pub async fn connect_to(
        &self,
        pod: &str,
        port: u16,
    ) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + 'static, Error> {
        let api = self.api::<Pod>();
        let ports = [port];
        let mut forwarder =
            call(|| format!("create pods/portforward to {pod}"), api.portforward(pod, &ports)).await?;
        Ok(forwarder.take_stream(port).expect("it is asked for and taken once"))
    }
}
