//! Chromium without a window, driven by WebDriver.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

/// A browser with one window, ended with this.
pub struct Browser {
    runtime: Runtime,
    driver: Child,
    port: u16,
    session: String,
}

impl Browser {
    pub fn start() -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .spawn()
            .expect("chromedriver is installed");
        let mut lines =
            BufReader::new(driver.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
        let port = lines.find_map(|line| {
            line.strip_prefix("ChromeDriver was started successfully on port ")?
                .trim_end_matches('.')
                .parse()
                .ok()
        });
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let port = port.expect("chromedriver says its port");
        let mut browser = Self { runtime, driver, port, session: String::new() };
        let session = browser.call(
            "POST",
            "/session",
            &json!({"capabilities": {"alwaysMatch": {
                "goog:loggingPrefs": {"browser": "ALL"},
                // root may not use Chromium's sandbox; what it loads is Torch's own.
                "goog:chromeOptions": {"args": ["--headless=new", "--no-sandbox", "--window-size=1200,900"]},
            }}}),
        );
        let id = session["sessionId"].as_str().expect("a session has an id");
        browser.session = format!("/session/{id}");
        browser
    }

    pub fn open(&self, url: &str) {
        self.command("/url", &json!({"url": url}));
    }

    /// What a function of this body returns in the page.
    pub fn run(&self, script: &str) -> Value {
        self.command("/execute/sync", &json!({"script": script, "args": []}))
    }

    /// Presses keys one after another, each given by its character of WebDriver.
    pub fn press(&self, keys: &str) {
        let actions =
            keys.chars().flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key})));
        let actions: Vec<Value> = actions.collect();
        self.command("/actions", &json!({"actions": [{"type": "key", "id": "keys", "actions": actions}]}));
    }

    /// A command of Chromium's own protocol.
    pub fn chromium(&self, command: &str, parameters: &Value) -> Value {
        self.command("/goog/cdp/execute", &json!({"cmd": command, "params": parameters}))
    }

    /// The window's content, as a PNG.
    pub fn picture(&self) -> Vec<u8> {
        let text = self.call("GET", &format!("{}/screenshot", self.session), &Value::Null);
        BASE64_STANDARD.decode(text.as_str().expect("a picture")).expect("it is in base64")
    }

    /// What the console was told since it was asked last.
    pub fn console(&self) -> Vec<String> {
        let entries = self.command("/se/log", &json!({"type": "browser"}));
        let entries = entries.as_array().expect("a list").iter();
        entries.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    fn command(&self, path: &str, body: &Value) -> Value {
        self.call("POST", &format!("{}{path}", self.session), body)
    }

    #[track_caller]
    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let mut answer = self.runtime.block_on(self.ask(method, path, body)).expect("chromedriver answers");
        let value = answer["value"].take();
        assert!(value["error"].is_null(), "{method} {path}: {value}");
        value
    }

    async fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, Box<dyn std::error::Error>> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        let (mut client, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = Request::builder().method(method).uri(path).header(header::HOST, "localhost");
        let answer = client.send_request(request.body(Full::new(Bytes::from(body)))?).await?;
        Ok(serde_json::from_slice(&answer.into_body().collect().await?.to_bytes())?)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends Chromium, which its driver's end would leave.
        if !self.session.is_empty() {
            let _ = self.runtime.block_on(self.ask("DELETE", &self.session, &Value::Null));
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
