//! Who a token belongs to and what its owner may do, asked of the API server.

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus, UserInfo};
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::Api;
use kube::api::PostParams;
use serde::Deserialize;

use super::{Cluster, Error, call};

/// Somebody whom the API server knows.
#[derive(Clone, Debug, PartialEq)]
pub struct User(UserInfo);

impl User {
    /// The name, such as `system:serviceaccount:<namespace>:<name>`.
    pub fn name(&self) -> &str {
        self.0.username.as_deref().unwrap_or_default()
    }
}

/// What is read of the answer: the rest of it repeats the token.
#[derive(Deserialize)]
struct Reviewed {
    status: Option<TokenReviewStatus>,
}

impl Cluster {
    /// Whose token this is, made for `audience` or, without one, for the API server itself; `None` where the
    /// API server does not accept it.
    ///
    /// # Errors
    /// Where the call fails.
    pub async fn review_token(&self, token: &str, audience: Option<&str>) -> Result<Option<User>, Error> {
        let audiences = audience.map(|audience| vec![audience.to_owned()]);
        let spec = TokenReviewSpec { audiences, token: token.to_owned() };
        let review = TokenReview { spec, ..TokenReview::default() };
        let request = http::Request::post("/apis/authentication.k8s.io/v1/tokenreviews")
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(serde_json::to_vec(&review).expect("a TokenReview is JSON"))
            .expect("a path makes a request");
        // As text: the client would log an answer that it cannot read, and the token with it.
        let reviewing = async {
            let text = self.client.request_text(request).await?;
            serde_json::from_str::<Reviewed>(&text).map_err(kube::Error::SerdeError)
        };
        let status = call(|| "create a tokenreview".into(), reviewing).await?.status.unwrap_or_default();
        // An API server that knows no audiences names none, and has taken the token for its own.
        let is_for_it = audience
            .is_none_or(|wanted| status.audiences.iter().flatten().any(|audience| audience == wanted));
        let is_known = status.authenticated == Some(true) && is_for_it;
        Ok(status.user.filter(|_| is_known).map(User))
    }

    /// Whether the user may do `verb` on the non-resource URL `path`.
    ///
    /// # Errors
    /// Where the call fails.
    pub async fn may(&self, user: &User, verb: &str, path: &str) -> Result<bool, Error> {
        let UserInfo { username, uid, groups, extra } = user.0.clone();
        let attributes = NonResourceAttributes { path: Some(path.into()), verb: Some(verb.into()) };
        let non_resource_attributes = Some(attributes);
        let spec = SubjectAccessReviewSpec {
            user: username,
            uid,
            groups,
            extra,
            non_resource_attributes,
            ..SubjectAccessReviewSpec::default()
        };
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let answer =
            call(|| "create a subjectaccessreview".into(), api.create(&PostParams::default(), &review))
                .await?;
        Ok(answer.status.is_some_and(|status| status.allowed && status.denied != Some(true)))
    }
}
