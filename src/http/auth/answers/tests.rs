use super::*;

fn key(n: usize) -> Key {
    Key::of(["get", "/", &n.to_string()])
}

#[tokio::test(start_paused = true)]
async fn no_more_is_kept_than_fits_and_a_flood_of_refusals_drives_no_leave_out() {
    let answers = Answers::default();
    for n in 0..MOST {
        answers.learn(key(n), Ok(()), None);
    }
    for n in MOST..4 * MOST {
        answers.learn(key(n), Err(Refusal::Unknown), None);
    }
    assert!((0..MOST).all(|n| answers.known(&key(n)) == Some(Ok(()))));
    let sizes = |answers: &Answers| answers.with(|kept, _| (kept.granted.0.len(), kept.refused.0.len()));
    assert_eq!(sizes(&answers), (MOST, MOST));
    answers.learn(key(MOST), Ok(()), None);
    assert_eq!(answers.known(&key(MOST)), Some(Ok(())), "the newest is always kept");
    tokio::time::advance(STALE).await;
    answers.learn(key(0), Ok(()), None);
    answers.learn(key(0), Err(Refusal::Unavailable), None);
    assert_eq!(sizes(&answers), (1, 1), "what has had its time makes room");
}

#[test]
fn nothing_is_taken_for_something_else() {
    let keys = [["a", "b", "c"], ["ab", "", "c"], ["a", "bc", ""], ["a", "b", "d"]].map(Key::of);
    assert!((1..keys.len()).all(|n| !keys[..n].contains(&keys[n])));
}
