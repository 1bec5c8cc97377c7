//! The three ways in which Torch comes by its certificate, and how each of them changes.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::bed::Bed;
use crate::calls::{ASKED, Load};
use crate::kubectl;
use crate::torch::Torch;
use crate::wait::{SOON, check, eventually};

#[derive(Clone, Copy, PartialEq)]
pub enum Mode {
    /// Torch makes it.
    Own,
    /// cert-manager does.
    CertManager,
    /// Somebody does, by `torch certs`.
    Mounted,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Own => "own",
            Self::CertManager => "cert-manager",
            Self::Mounted => "mounted",
        })
    }
}

/// One group of two real nodes, and one of the node that is asked about and a peer that it is given.
const CONFIG: &str = "
mutualPeers:
  - peers:
      - nodeName: da-bridge-1
      - nodeName: da-full-1
  - peers:
      - nodeName: {asked}
      - nodeName: elsewhere
        probe: [{address: /dns/elsewhere/tcp/1/p2p/12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV}]
";

/// How long after it is dropped from the caBundle an old CA may still be seen.
const A_MOMENT: Duration = Duration::from_secs(1);

impl Mode {
    pub const ALL: [Self; 3] = [Self::Own, Self::CertManager, Self::Mounted];

    pub fn short_name(self) -> &'static str {
        match self {
            Self::Own => "rot-own",
            Self::CertManager => "rot-cm",
            Self::Mounted => "rot-mnt",
        }
    }

    /// Deploys Torch so that its certificates live for `lives`.
    pub fn deploy<'a>(self, bed: &'a Bed, lives: &str) -> Rotation<'a> {
        let rotation = Rotation { mode: self, bed, rounds: 0 };
        let component = match self {
            Self::Own => "",
            Self::CertManager => "components: [../deploy/with-cert-manager]",
            Self::Mounted => {
                rotation.make_certificate();
                rotation.mount();
                "components: [../deploy/with-mounted-certificate]"
            }
        };
        let lives = json!({"name": "FAILPOINTS", "value": format!("lives=return({lives})")});
        let more = format!(
            "{component}
patches:
  - target: {{kind: Deployment, name: torch}}
    patch: |
      - {{op: add, path: /spec/template/spec/containers/0/env/-, value: {lives}}}
  - target: {{kind: MutatingAdmissionPolicy.*}}
    patch: |
      $patch: delete
      kind: any
      metadata:
        name: any
"
        );
        Torch::deploy_with(bed, &CONFIG.replace("{asked}", ASKED), &more);
        if self == Self::Mounted {
            rotation.register(&[rotation.file("ca.crt")]);
        }
        eventually("the webhook is registered", SOON, || rotation.bundle().map(drop));
        rotation
    }
}

/// Certificates that change.
pub struct Rotation<'a> {
    mode: Mode,
    bed: &'a Bed,
    rounds: usize,
}

impl Rotation<'_> {
    /// Changes the certificate once, and with every other change its CA. Torch's own change by themselves.
    pub fn go_on(&mut self, load: &Load) {
        self.rounds += 1;
        let with_ca = self.rounds % 2 == 1;
        match self.mode {
            Mode::Own => sleep(Duration::from_secs(1)),
            Mode::CertManager => {
                if with_ca {
                    self.renew("torch-ca");
                }
                self.renew("torch");
                self.wait_shown(&self.secret(), load);
            }
            Mode::Mounted => {
                let old = self.file("ca.crt");
                if with_ca {
                    for file in ["ca.crt", "ca.key"] {
                        fs::remove_file(self.directory().join(file)).expect("it was made");
                    }
                }
                self.make_certificate();
                let new = self.file("ca.crt");
                self.register(&[old, new.clone()]);
                self.mount();
                self.wait_shown(&self.file("tls.crt"), load);
                self.register(&[new]);
                sleep(A_MOMENT);
            }
        }
    }

    /// In the end Torch must have changed nothing of its registration but what is its to change.
    pub fn check(&self) {
        let name = self.bed.namespace.outside();
        let get = ["get", "--show-managed-fields", "-o", "json", "mutatingwebhookconfiguration", &name];
        let registration: Value = serde_json::from_str(&kubectl::run(&get)).expect("kubectl prints JSON");
        let managed = registration["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
        let by_torch: Vec<&Value> = managed.iter().filter(|m| m["manager"] == "torch").collect();
        match self.mode {
            Mode::Own => {
                let fields = json!({"f:webhooks": {
                    "k:{\"name\":\"inject.torch.celestia.org\"}": {"f:clientConfig": {"f:caBundle": {}}}
                }});
                assert_eq!(by_torch.iter().map(|m| &m["fieldsV1"]).collect::<Vec<_>>(), [&fields]);
            }
            Mode::CertManager | Mode::Mounted => assert!(by_torch.is_empty(), "{by_torch:?}"),
        }
    }

    fn registration(&self) -> Result<Value, String> {
        kubectl::get(
            self.bed.name(),
            &format!("mutatingwebhookconfiguration/{}", self.bed.namespace.outside()),
        )
    }

    fn bundle(&self) -> Result<String, String> {
        let registration = self.registration()?;
        let bundle = registration["webhooks"][0]["clientConfig"]["caBundle"].as_str();
        bundle.filter(|bundle| !bundle.is_empty()).map(String::from).ok_or_else(|| "no caBundle".into())
    }

    /// Has the API server trust these, as whoever mounts files by hand has to.
    fn register(&self, cas: &[String]) {
        let bundle = STANDARD.encode(cas.concat());
        let patch = json!([{"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": bundle}]);
        let name = self.bed.namespace.outside();
        kubectl::run(&[
            "patch",
            "mutatingwebhookconfiguration",
            &name,
            "--type=json",
            "-p",
            &patch.to_string(),
        ]);
    }

    /// Waits for every replica to show the certificate. Kubelets bring it with the pod's next change, or else
    /// within a minute or two.
    fn wait_shown(&self, certificate: &str, load: &Load) {
        let shown = |ip: &str| {
            let name = format!("torch.{}.svc", self.bed.name());
            let at = format!("{ip}:8443");
            let arguments = ["s_client", "-connect", &at, "-servername", &name];
            let output = Command::new("openssl").args(arguments).stdin(std::process::Stdio::null()).output();
            let output = output.map_err(|e| format!("cannot run openssl: {e}"))?;
            let text = String::from_utf8_lossy(&output.stdout).replace(char::is_whitespace, "");
            let wanted = certificate.replace(char::is_whitespace, "");
            check(text.contains(&wanted), || format!("{ip} shows another certificate; {}", load.so_far()))
        };
        let note = format!("rotate={}", self.rounds);
        self.bed.kubectl(&["annotate", "--overwrite", "pods", "-l", "app.kubernetes.io/name=torch", &note]);
        let replicas: Vec<String> =
            self.bed.pods.now().all_of_torch().filter(|p| p.stays()).map(|p| p.ip().to_owned()).collect();
        for ip in replicas {
            eventually("the new certificate is shown", SOON, || shown(&ip));
        }
    }

    /// As `cmctl renew` does; waits until it is issued.
    fn renew(&self, certificate: &str) {
        let object = format!("certificate.cert-manager.io/{certificate}");
        let revision = || kubectl::get(self.bed.name(), &object).map(|c| c["status"]["revision"].clone());
        let before = revision().unwrap_or_else(|why| panic!("{why}"));
        let condition = json!({
            "type": "Issuing", "status": "True", "reason": "ManuallyTriggered", "message": "by test",
            "lastTransitionTime": jiff::Timestamp::now().round(jiff::Unit::Second).expect("it is no edge of time"),
        });
        let patch = json!([{"op": "add", "path": "/status/conditions/-", "value": condition}]).to_string();
        self.bed.kubectl(&["patch", &object, "--subresource=status", "--type=json", "-p", &patch]);
        eventually("it is issued anew", SOON, || check(revision()? != before, || "not yet".into()));
    }

    /// The certificate in the mounted Secret.
    fn secret(&self) -> String {
        let secret =
            kubectl::get(self.bed.name(), "secret/torch-certificate").unwrap_or_else(|why| panic!("{why}"));
        let chain = STANDARD.decode(secret["data"]["tls.crt"].as_str().unwrap_or_default());
        String::from_utf8(chain.expect("the API server encodes it")).expect("it is PEM")
    }

    fn directory(&self) -> PathBuf {
        self.bed.namespace.directory.join("certs-by-hand")
    }

    fn file(&self, file: &str) -> String {
        fs::read_to_string(self.directory().join(file)).expect("`torch certs` has made it")
    }

    fn make_certificate(&self) {
        let made = Command::new(env!("CARGO_BIN_EXE_torch"))
            .args(["certs", "--namespace", self.bed.name(), "--out"])
            .arg(self.directory())
            .output();
        assert!(made.as_ref().is_ok_and(|made| made.status.success()), "torch certs: {made:?}");
    }

    fn mount(&self) {
        let files = ["tls.crt", "tls.key", "ca.crt"];
        let data: serde_json::Map<_, _> =
            files.map(|file| (file.into(), self.file(file).into())).into_iter().collect();
        let metadata = json!({"name": "torch-certificate"});
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data});
        self.bed.apply(&secret);
    }
}
