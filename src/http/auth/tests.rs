use std::net::Ipv4Addr;
use std::sync::Mutex;

use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::time::advance;

use super::*;

/// What the API server does.
#[derive(Clone, Copy)]
enum Api {
    /// It accepts tokens that begin with `good`, and those of claims.
    Works,
    /// The same, and it knows nothing of audiences.
    Old,
    /// Nothing is granted.
    Strict,
    /// Connections are refused.
    Away,
    /// Connections are taken, and no more.
    Hangs,
    /// It says what nobody can read.
    Garbles,
}

struct Bed {
    tokens: Arc<Tokens>,
    api: Arc<Mutex<Api>>,
    /// The reviews that were asked for.
    asked: Arc<Mutex<Vec<Value>>>,
}

fn bed() -> Bed {
    let api = Arc::new(Mutex::new(Api::Works));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let cluster = {
        let (api, asked) = (Arc::clone(&api), Arc::clone(&asked));
        Cluster::played_by("da", move |request| {
            let (api, asked) = (*api.lock().unwrap(), Arc::clone(&asked));
            async move {
                let review = request.into_body().collect().await.unwrap().to_bytes();
                let review: Value = serde_json::from_slice(&review).unwrap();
                asked.lock().unwrap().push(review.clone());
                answer(api, &review).await.map(|answer| http::Response::new(answer.to_string()))
            }
        })
    };
    let Guard(Some(tokens)) = Guard::by_token(cluster, "torch.da.svc".into(), Arc::default()) else {
        unreachable!()
    };
    Bed { tokens: Arc::new(tokens), api, asked }
}

async fn answer(api: Api, review: &Value) -> std::io::Result<Value> {
    match api {
        Api::Away => return Err(std::io::ErrorKind::ConnectionRefused.into()),
        Api::Hangs => std::future::pending().await,
        Api::Garbles => {
            return Ok(json!({"spec": review["spec"], "status": {"authenticated": "perhaps"}}));
        }
        Api::Works | Api::Old | Api::Strict => {}
    }
    // So that others come while it is under way.
    tokio::time::sleep(Duration::from_millis(5)).await;
    let mut answer = review.clone();
    answer["status"] = if review["kind"] == "SubjectAccessReview" {
        json!({"allowed": !matches!(api, Api::Strict)})
    } else {
        let token = review["spec"]["token"].as_str().unwrap();
        let audiences = if matches!(api, Api::Old) { &Value::Null } else { &review["spec"]["audiences"] };
        let is_known = token.starts_with("good");
        let name = "system:serviceaccount:da:default";
        json!({"authenticated": is_known, "audiences": audiences, "user": {"username": name, "groups": ["g"]}})
    };
    Ok(answer)
}

impl Bed {
    async fn judge(&self, token: &str) -> Verdict {
        self.judge_from(1, token).await
    }

    async fn judge_from(&self, host: u8, token: &str) -> Verdict {
        self.tokens.judge(&wish(host, token)).await
    }

    fn set(&self, api: Api) {
        *self.api.lock().unwrap() = api;
    }

    /// What was asked for since the last look.
    fn asked(&self) -> Vec<Value> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

fn wish(host: u8, token: &str) -> Wish {
    Wish {
        from: Ipv4Addr::new(10, 0, 0, host).into(),
        token: Some(token.into()),
        verb: "post".into(),
        path: "/torch/da/gen".into(),
    }
}

fn token_of(claims: &Value) -> String {
    format!("good.{}.signature", BASE64_URL_SAFE_NO_PAD.encode(claims.to_string()))
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn leave_is_asked_for_once_a_minute() {
    let bed = bed();
    assert_eq!(bed.judge("good").await, Ok(()));
    let [token, access]: [Value; 2] = bed.asked().try_into().unwrap();
    assert_eq!(token["spec"], json!({"token": "good"}));
    let attributes = json!({"verb": "post", "path": "/torch/da/gen"});
    assert_eq!(access["spec"]["nonResourceAttributes"], attributes);
    assert_eq!(access["spec"]["user"], "system:serviceaccount:da:default");
    assert_eq!(access["spec"]["groups"], json!(["g"]));
    advance(59 * SECOND).await;
    assert_eq!((bed.judge("good").await, bed.asked().len()), (Ok(()), 0));
    advance(SECOND).await;
    assert_eq!((bed.judge("good").await, bed.asked().len()), (Ok(()), 2));
}

#[tokio::test(start_paused = true)]
async fn leave_that_was_taken_back_ends_and_leave_that_was_given_begins() {
    let bed = bed();
    assert_eq!(bed.judge("good").await, Ok(()));
    bed.set(Api::Strict);
    advance(60 * SECOND).await;
    let forbidden = Err(Refusal::Forbidden("system:serviceaccount:da:default".into()));
    assert_eq!(bed.judge("good").await, forbidden);
    bed.set(Api::Works);
    advance(9 * SECOND).await;
    bed.asked();
    assert_eq!((bed.judge("good").await, bed.asked().len()), (forbidden, 0), "it is remembered");
    advance(SECOND).await;
    assert_eq!(bed.judge("good").await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn leave_is_for_one_path_one_verb_and_one_token() {
    let bed = bed();
    assert_eq!(bed.judge("good").await, Ok(()));
    bed.set(Api::Strict);
    for (verb, path, token) in [
        ("get", "/torch/da/gen", "good"),
        ("post", "/torch/da/genAll", "good"),
        ("post", "/torch/da/gen", "good2"),
    ] {
        let wish = Wish { verb: verb.into(), path: path.into(), ..wish(1, token) };
        assert!(matches!(bed.tokens.judge(&wish).await, Err(Refusal::Forbidden(_))), "{verb} {path} {token}");
        advance(SECOND).await;
    }
    assert_eq!(bed.judge("good").await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn who_asks_the_same_at_once_shares_the_answer() {
    let bed = bed();
    for (token, verdict, reviews) in [("good", Ok(()), 2), ("bad", Err(Refusal::Unknown), 1)] {
        let wishes: Vec<Wish> = (0..200).map(|n| wish(n, token)).collect();
        let verdicts = futures::future::join_all(wishes.iter().map(|wish| bed.tokens.judge(wish))).await;
        assert!(verdicts.iter().all(|v| *v == verdict), "{verdicts:?}");
        assert_eq!(bed.asked().len(), reviews, "{token}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_api_server_only_those_pass_who_did_lately() {
    for api in [Api::Away, Api::Hangs, Api::Garbles] {
        let bed = bed();
        assert_eq!(bed.judge("good").await, Ok(()));
        assert_eq!(bed.judge("bad").await, Err(Refusal::Unknown));
        bed.set(api);
        assert_eq!(bed.judge("good new").await, Err(Refusal::Unavailable));
        advance(61 * SECOND).await;
        let begun = Instant::now();
        assert_eq!(bed.judge("good").await, Ok(()), "it is stale, and all that there is");
        assert_eq!(bed.judge("good").await, Ok(()));
        assert!(begun.elapsed() <= WITHIN, "{:?}", begun.elapsed());
        assert_eq!(bed.judge("bad").await, Err(Refusal::Unavailable));
        advance(300 * SECOND).await;
        assert_eq!(bed.judge("good").await, Err(Refusal::Unavailable), "it is too old");
        bed.set(Api::Works);
        advance(SECOND).await;
        assert_eq!(bed.judge("good").await, Ok(()));
    }
}

#[tokio::test(start_paused = true)]
async fn leave_ends_with_the_token() {
    let bed = bed();
    let token = token_of(&json!({"exp": Timestamp::now().as_second() + 20}));
    assert_eq!(bed.judge(&token).await, Ok(()));
    advance(15 * SECOND).await;
    bed.set(Api::Away);
    assert_eq!(bed.judge(&token).await, Ok(()));
    advance(6 * SECOND).await;
    assert_eq!(bed.judge(&token).await, Err(Refusal::Unavailable));
}

#[tokio::test(start_paused = true)]
async fn a_token_for_torch_alone_is_reviewed_as_such() {
    let bed = bed();
    for audience in [json!("torch.da.svc"), json!(["x", "torch.da.svc"])] {
        assert_eq!(bed.judge(&token_of(&json!({"aud": audience}))).await, Ok(()));
        assert_eq!(bed.asked()[0]["spec"]["audiences"], json!(["torch.da.svc"]));
    }
    for audience in [json!("torch.other.svc"), json!(["https://kubernetes.default.svc"]), json!(7)] {
        bed.judge(&token_of(&json!({"aud": audience}))).await.unwrap();
        assert_eq!(bed.asked()[0]["spec"].get("audiences"), None, "{audience}");
        advance(SECOND).await;
    }
    bed.set(Api::Old);
    let token = token_of(&json!({"aud": "torch.da.svc", "jti": "other"}));
    assert_eq!(bed.judge(&token).await, Err(Refusal::Unknown), "nobody has looked at its audience");
}

#[tokio::test(start_paused = true)]
async fn tokens_that_are_made_up_keep_neither_the_api_server_nor_others_busy() {
    let bed = bed();
    let begun = Instant::now();
    let flood: Vec<_> = (0..3000)
        .map(|n| {
            let tokens = Arc::clone(&bed.tokens);
            tokio::spawn(async move { tokens.judge(&wish(2, &format!("bad {n}"))).await })
        })
        .collect();
    tokio::task::yield_now().await;
    assert_eq!(bed.judge_from(3, "good").await, Ok(()), "who is at another address does not notice");
    let verdicts = futures::future::join_all(flood).await;
    let refused = verdicts.iter().filter(|v| *v.as_ref().unwrap() == Err(Refusal::TooMany)).count();
    let asked = bed.asked().len() - 2;
    assert!(refused + asked == 3000 && (15..=22).contains(&asked), "{refused} refused, {asked} asked");

    // However many come from however many addresses.
    for _ in 0..40 {
        for host in 10..210 {
            let (tokens, token) = (Arc::clone(&bed.tokens), format!("bad {host} {:?}", begun.elapsed()));
            tokio::spawn(async move { tokens.judge(&wish(host, &token)).await });
        }
        advance(Duration::from_millis(50)).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let rate = bed.asked().len() as f64 / begun.elapsed().as_secs_f64();
    assert!((50.0..=110.0).contains(&rate), "{rate} reviews in a second");
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_does_not_tell_the_token() {
    let bed = bed();
    bed.set(Api::Garbles);
    let error = bed.tokens.cluster.review_token("secret", None).await.unwrap_err().to_string();
    assert!(error.starts_with("cannot create a tokenreview: ") && !error.contains("secret"), "{error}");
}

#[test]
fn a_token_is_shown_in_one_way() {
    let token = |values: &[&'static str]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
        }
        bearer_token(&headers).map(String::from)
    };
    for good in ["Bearer a.b.c", "bearer a.b.c", "BEARER  a.b.c "] {
        assert_eq!(token(&[good]), Some("a.b.c".into()), "{good}");
    }
    for bad in
        [&[][..], &[""], &["Bearer"], &["Bearer "], &["Basic a"], &["a.b.c"], &["Bearer a", "Bearer a"]]
    {
        assert_eq!(token(bad), None, "{bad:?}");
    }
}
