//! Books of holds: deadlines, followers, second stages, and saving.

use super::*;
use crate::decision::holds::{AskedFor, Challenge, Claim, HoldState, LONGEST_HOLD_MS, Limit};

fn waits_for(method: &str) -> Challenge {
    Challenge { method: method.to_owned(), parties: Vec::new() }
}

fn hold(id: &str, deadline_ms: i64) -> Hold {
    Hold {
        state: HoldState::Placed,
        hold_id: id.to_owned(),
        event_type: "transfer".to_owned(),
        event_id: id.to_owned(),
        event_ms: 0,
        placed_ms: 0,
        all_payments: false,
        amount: None,
        score: 0,
        placed_by: vec!["R-1".to_owned()],
        reasons: Vec::new(),
        under: Vec::new(),
        has_deadline: true,
        deadline_ms,
        next: None,
        otherwise: Otherwise::Release,
        limit: None,
        challenge: None,
        claim: None,
        decision_id: String::new(),
        output_key: Vec::new(),
        ended_ms: 0,
    }
}

/// What became of the holds that were taken: id, state and deadline.
fn told(taken: &[Hold]) -> Vec<(String, HoldState, i64)> {
    taken.iter().map(|hold| (hold.hold_id.clone(), hold.state, hold.deadline_ms)).collect()
}

fn expired(book: &mut HoldBook, stream: u32, clock_ms: i64) -> Vec<(String, HoldState, i64)> {
    told(&book.take_expired(stream, clock_ms, 0))
}

#[test]
fn holds_expire_in_deadline_order_on_the_clock_of_their_own_stream() {
    let mut book = HoldBook::default();
    for (stream, id, deadline) in [(0, "b", 20), (0, "a", 10), (1, "c", 5)] {
        let key = EntityKey::of_text(id.as_bytes());
        assert_eq!(book.place(stream, key, hold(id, deadline)), Placed::New);
    }
    assert_eq!(expired(&mut book, 0, 9), []);
    assert_eq!(expired(&mut book, 0, 20), [("a".to_owned(), HoldState::Expired, 10)]);
    assert_eq!(expired(&mut book, 0, 20), [("b".to_owned(), HoldState::Expired, 20)]);
    assert_eq!(expired(&mut book, 0, 20), []);
    assert_eq!(book.n_open(), 1);
    assert_eq!(expired(&mut book, 1, 5), [("c".to_owned(), HoldState::Expired, 5)]);
    book.forget(1);
    assert_eq!((book.n_saved(), book.bytes()), (0, 0));
}

#[test]
fn how_open_holds_wait_is_told_by_the_clock_of_their_own_stream() {
    let mut book = HoldBook::default();
    let oldest_and_due = |waiting: Waiting| {
        assert_eq!(waiting.due_soon_claimed, 0);
        (waiting.oldest_ms, waiting.due_soon_unclaimed)
    };
    assert_eq!(oldest_and_due(book.waiting(|_| 0)), (None, 0));
    // Placed at 100, 200 and 300; a fifth of the time of the first is 20, of the others 40.
    for (stream, id, placed_ms, deadline) in
        [(0, "a", 100, 200), (0, "b", 200, 400), (1, "c", 300, 500)]
    {
        let held = Hold { placed_ms, ..hold(id, deadline) };
        book.place(stream, EntityKey::of_text(id.as_bytes()), held);
    }
    let at = |book: &HoldBook, first: i64, second: i64| {
        oldest_and_due(book.waiting(|stream| if stream == 0 { first } else { second }))
    };
    assert_eq!(at(&book, 180, 460), (Some(100), 0));
    assert_eq!(at(&book, 181, 461), (Some(100), 2));
    expired(&mut book, 0, 200);
    assert_eq!(at(&book, 360, 0), (Some(200), 0));
    assert_eq!(at(&book, 361, 0), (Some(200), 1));
    // Somebody works on it, and gives it back.
    let claim = AskedFor::Claim { take_from: None };
    act(&mut book, "b", claim).unwrap();
    let claimed = Waiting { oldest_ms: Some(200), due_soon_claimed: 1, due_soon_unclaimed: 0 };
    assert_eq!(book.waiting(|stream| if stream == 0 { 361 } else { 0 }), claimed);
    act(&mut book, "b", AskedFor::Unclaim { take_from: None }).unwrap();
    assert_eq!(at(&book, 361, 0), (Some(200), 1));
}

#[test]
fn one_payment_has_one_hold() {
    let mut book = HoldBook::default();
    let key = EntityKey::of_text(b"t1");
    assert_eq!(book.place(0, key, hold("t1", 10)), Placed::New);
    assert_eq!(book.place(0, key, hold("t1", 99)), Placed::Joined);
    assert_eq!(expired(&mut book, 0, 50), [("t1".to_owned(), HoldState::Expired, 10)]);
}

/// A subject that is held until 100, and payments: `a` and `b` follow it alone, `c` has its own deadline at 50 and `d` at 150.
fn with_subject(otherwise: Otherwise) -> HoldBook {
    let mut book = HoldBook::default();
    let subject = Hold { all_payments: true, otherwise, ..hold("s", 100) };
    let under = vec!["s".to_owned()];
    let own = |id: &str, deadline_ms| Hold { under: under.clone(), ..hold(id, deadline_ms) };
    let follows = |id: &str| Hold { has_deadline: false, ..own(id, 100) };
    let payments = [follows("a"), follows("b"), own("c", 50), own("d", 150)];
    for held in payments.into_iter().chain([subject]) {
        let key = EntityKey::of_text(held.hold_id.as_bytes());
        assert_eq!(book.place(0, key, held), Placed::New);
    }
    book
}

fn act(book: &mut HoldBook, hold_id: &str, what: AskedFor) -> Result<Vec<Hold>, Refusal> {
    by("ann", book, hold_id, what)
}

fn by(
    actor: &str,
    book: &mut HoldBook,
    hold_id: &str,
    what: AskedFor,
) -> Result<Vec<Hold>, Refusal> {
    book.act(hold_id, &Ask { what, expected: None }, Asker { actor, at_ms: 7 }, 0)
}

fn extend(until_ms: i64) -> AskedFor {
    AskedFor::Extend { until_ms }
}

fn escalate(queue: Option<&str>, until_ms: Option<i64>) -> AskedFor {
    AskedFor::Escalate { queue: queue.map(str::to_owned), until_ms }
}

fn sorted(mut told: Vec<(String, HoldState, i64)>) -> Vec<(String, HoldState, i64)> {
    told.sort_by(|one, other| one.0.cmp(&other.0));
    told
}

fn all(told: &[(&str, HoldState, i64)]) -> Vec<(String, HoldState, i64)> {
    told.iter().map(|(id, state, at)| ((*id).to_owned(), *state, *at)).collect()
}

#[test]
fn what_follows_a_subject_goes_with_it_and_what_has_reasons_of_its_own_stays() {
    use HoldState::{Confirmed, Expired, Extended, Released};
    let mut book = with_subject(Otherwise::Release);
    assert!(book.holds_subjects() && book.n_open() == 5);
    let released = act(&mut book, "s", AskedFor::Release).unwrap();
    let expected = all(&[("a", Released, 100), ("b", Released, 100), ("s", Released, 100)]);
    assert_eq!(sorted(told(&released)), expected);
    assert!(!book.holds_subjects() && book.n_open() == 2);
    let of = |id: &str| book.find(id).unwrap().bytes();
    let (open, ended) = (of("c") + of("d"), of("a") + of("b") + of("s"));
    assert_eq!((book.open_bytes(), book.bytes()), (open, open + ended));
    assert_eq!(expired(&mut book, 0, 50), all(&[("c", Expired, 50)]));

    // While the subject is held, a payment whose own reasons are over goes on with it.
    let mut book = with_subject(Otherwise::Release);
    assert_eq!(expired(&mut book, 0, 50), all(&[("c", Extended, 100)]));
    let by_then = sorted(expired(&mut book, 0, 100));
    let expected =
        all(&[("a", Expired, 100), ("b", Expired, 100), ("c", Expired, 100), ("s", Expired, 100)]);
    assert_eq!(by_then, expected);
    assert_eq!(expired(&mut book, 0, 150), all(&[("d", Expired, 150)]));

    // Refused with the subject, whatever they wait for; and so at its end where that blocks.
    let mut book = with_subject(Otherwise::Release);
    let confirmed = act(&mut book, "s", AskedFor::Confirm).unwrap();
    assert!(confirmed.len() == 5 && confirmed.iter().all(|hold| hold.state == Confirmed));
    let mut book = with_subject(Otherwise::Block);
    expired(&mut book, 0, 50);
    let ended = book.take_expired(0, 100, 0);
    let blocked = ended.iter().filter(|hold| hold.otherwise == Otherwise::Block);
    assert_eq!((ended.len(), blocked.count(), book.n_open()), (5, 5, 0));
}

#[test]
fn a_later_deadline_of_the_subject_is_that_of_what_follows() {
    use HoldState::Extended;
    let mut book = with_subject(Otherwise::Release);
    assert_eq!(act(&mut book, "a", extend(500)), Err(Refusal::Follows(HoldState::Placed)));
    let extended = act(&mut book, "s", extend(120)).unwrap();
    let expected = all(&[("a", Extended, 120), ("b", Extended, 120), ("s", Extended, 120)]);
    assert_eq!(sorted(told(&extended)), expected);
    // One payment may go before the others.
    assert_eq!(act(&mut book, "a", AskedFor::Release).unwrap().len(), 1);
    assert_eq!(book.n_open(), 4);
}

#[test]
fn a_first_deadline_escalates_and_the_second_ends() {
    use HoldState::{Confirmed, Escalated, Expired, Released};
    let key = EntityKey::of_text(b"t");
    let staged = |queue: Option<&str>, challenge: Option<&str>| {
        let mut book = HoldBook::default();
        let next = Some(Stage { for_ms: 40, queue: queue.map(str::to_owned) });
        let challenge = challenge.map(waits_for);
        book.place(0, key, Hold { next, challenge, ..hold("t", 10) });
        book
    };
    let mut book = staged(Some("seniors"), None);
    assert_eq!(expired(&mut book, 0, 30), all(&[("t", Escalated, 50)]));
    assert_eq!((expired(&mut book, 0, 49), book.n_open()), (vec![], 1));
    assert_eq!(expired(&mut book, 0, 50), all(&[("t", Expired, 50)]));
    // Both deadlines may have come by a clock that stood still.
    let mut book = staged(None, None);
    let both = told(&book.expire("t", 60, 0));
    assert_eq!(both, all(&[("t", Escalated, 50), ("t", Expired, 50)]));
    // A challenge: passed it goes, failed it is held from then on, or refused where nothing else was to come.
    let payment = payment_key("transfer", b"t");
    let answer = |book: &mut HoldBook, passed| {
        let answer = Answer { passed, at_ms: 5, behind_ms: 0, of: Some(&[]) };
        told(&book.answer(payment, answer, 5, 0).1)
    };
    let sms = || staged(None, Some("sms"));
    assert_eq!(answer(&mut sms(), true), all(&[("t", Released, 10)]));
    assert_eq!(answer(&mut sms(), false), all(&[("t", Escalated, 45)]));
    assert_eq!(answer(&mut staged(None, None), true), []);
    let mut book = HoldBook::default();
    book.place(0, key, Hold { challenge: Some(waits_for("sms")), ..hold("t", 10) });
    assert_eq!(answer(&mut book, false), all(&[("t", Confirmed, 10)]));
    assert_eq!(answer(&mut book, true), []);
    // Two payments under one id: nobody knows which was passed, and both are failed.
    let mut book = sms();
    let other = EntityKey::of_text(b"t with another amount");
    book.place(0, other, Hold { challenge: Some(waits_for("sms")), ..hold("t", 10) });
    assert_eq!((answer(&mut book, true), book.n_open()), (vec![], 2));
    assert_eq!(answer(&mut book, false).len(), 2);
}

/// The last deadline of a hold with a second one is that of both, whoever asks before the first.
#[test]
fn others_are_asked_before_the_first_deadline_and_the_last_one_stays() {
    use HoldState::{Escalated, Expired, Placed};
    let key = EntityKey::of_text(b"t");
    let with = |next: Option<Stage>, challenge: Option<Challenge>| {
        let mut book = HoldBook::default();
        book.place(0, key, Hold { next, challenge, ..hold("t", 10) });
        book
    };
    let stage = |queue: Option<&str>| Some(Stage { for_ms: 40, queue: queue.map(str::to_owned) });
    let asked =
        |taken: &[Hold]| taken[0].next.as_ref().and_then(|next| next.queue.clone()).unwrap();

    let mut book = with(stage(Some("seniors")), None);
    let taken = act(&mut book, "t", escalate(None, None)).unwrap();
    assert_eq!((told(&taken), asked(&taken)), (all(&[("t", Escalated, 50)]), "seniors".to_owned()));
    assert_eq!(
        (expired(&mut book, 0, 49), expired(&mut book, 0, 50)),
        (vec![], all(&[("t", Expired, 50)]))
    );
    // Somebody else, and later. Once more.
    let mut book = with(stage(Some("seniors")), None);
    let earlier =
        [10, 50].map(|until_ms| act(&mut book, "t", escalate(Some("law"), Some(until_ms))));
    assert_eq!(earlier, [Err(Refusal::NotLater(Placed)), Err(Refusal::NotLater(Placed))]);
    let taken = act(&mut book, "t", escalate(Some("law"), Some(51))).unwrap();
    assert_eq!((told(&taken), asked(&taken)), (all(&[("t", Escalated, 51)]), "law".to_owned()));
    assert_eq!(act(&mut book, "t", escalate(None, None)), Err(Refusal::NoQueue(Escalated)));
    let taken = act(&mut book, "t", escalate(Some("seniors"), None)).unwrap();
    assert_eq!((told(&taken), asked(&taken)), (all(&[("t", Escalated, 51)]), "seniors".to_owned()));
    let too_long = Some(LONGEST_HOLD_MS + 1);
    assert_eq!(
        act(&mut book, "t", escalate(Some("law"), too_long)),
        Err(Refusal::TooLong(Escalated))
    );
    // Nobody is named by the hold, and a challenge gives way to people.
    let mut book = with(None, None);
    assert_eq!(act(&mut book, "t", escalate(None, None)), Err(Refusal::NoQueue(Placed)));
    let mut book = with(stage(None), Some(waits_for("sms")));
    assert_eq!(act(&mut book, "t", escalate(None, None)), Err(Refusal::NoQueue(Placed)));
    let taken = act(&mut book, "t", escalate(Some("law"), None)).unwrap();
    assert_eq!((told(&taken), taken[0].challenge.clone()), (all(&[("t", Escalated, 50)]), None));
    let passed = Answer { passed: true, at_ms: 5, behind_ms: 0, of: Some(&[]) };
    let payment = payment_key("transfer", b"t");
    assert_eq!(book.answer(payment, passed, 5, 0), (Heard::NothingWaits, vec![]));
    // What follows a subject asks with it.
    let mut book = with_subject(Otherwise::Release);
    assert_eq!(act(&mut book, "a", escalate(Some("law"), None)), Err(Refusal::Follows(Placed)));
    let taken = act(&mut book, "s", escalate(Some("law"), Some(120))).unwrap();
    let expected = all(&[("a", Escalated, 120), ("b", Escalated, 120), ("s", Escalated, 120)]);
    assert_eq!(sorted(told(&taken)), expected);
}

/// Ten of its own, thirty more for the seniors, and a rail that leaves 25.
#[test]
fn others_are_asked_within_what_the_rail_leaves() {
    use HoldState::{Escalated, Placed};
    let limit = Limit {
        until_ms: 25,
        otherwise: Some(Otherwise::Block),
        field: None,
        value: None,
        cuts: false,
    };
    let mut book = HoldBook::default();
    let next = Some(Stage { for_ms: 30, queue: Some("seniors".to_owned()) });
    let (key, limit) = (EntityKey::of_text(b"t"), Some(limit));
    book.place(0, key, Hold { next, limit, ..hold("t", 10) });
    let later = act(&mut book, "t", escalate(None, Some(26)));
    assert_eq!(later, Err(Refusal::BeyondRail(Placed)));
    let earlier = act(&mut book, "t", escalate(None, Some(25)));
    assert_eq!(earlier, Err(Refusal::NotLater(Placed)));
    let taken = act(&mut book, "t", escalate(None, None)).unwrap();
    assert_eq!(told(&taken), all(&[("t", Escalated, 25)]));
    assert_eq!(taken[0].at_the_end(), Otherwise::Block, "what the rail says of its end");
}

#[test]
fn one_person_works_on_a_hold_and_another_takes_it_over_only_by_name() {
    use HoldState::{Escalated, Placed};
    let key = EntityKey::of_text(b"t");
    let mut book = HoldBook::default();
    let next = Some(Stage { for_ms: 40, queue: Some("seniors".to_owned()) });
    book.place(0, key, Hold { next, ..hold("t", 10) });
    let from = |name: Option<&str>| name.map(str::to_owned);
    let claim = |name: Option<&str>| AskedFor::Claim { take_from: from(name) };
    let back = |name: Option<&str>| AskedFor::Unclaim { take_from: from(name) };
    let whose =
        |done: Result<Vec<Hold>, Refusal>| done.map(|taken| taken[0].claim.clone().map(|it| it.by));
    let is = |name: &str| Ok(Some(name.to_owned()));
    let refused = Err(Refusal::Claimed(Placed));
    assert_eq!(whose(by("ann", &mut book, "t", back(None))), Err(Refusal::NotClaimed(Placed)));
    assert_eq!(whose(by("ann", &mut book, "t", claim(None))), is("ann"));
    assert_eq!(whose(by("ann", &mut book, "t", claim(None))), is("ann"));
    assert_eq!(whose(by("bob", &mut book, "t", claim(None))), refused);
    assert_eq!(whose(by("bob", &mut book, "t", claim(Some("eve")))), refused);
    assert_eq!(whose(by("bob", &mut book, "t", back(None))), refused);
    assert_eq!(whose(by("bob", &mut book, "t", claim(Some("ann")))), is("bob"));
    assert_eq!(whose(by("ann", &mut book, "t", back(Some("bob")))), Ok(None));
    assert_eq!(whose(by("bob", &mut book, "t", claim(Some("ann")))), is("bob"));
    // Its deadline is what it was, and there others are asked: it is theirs to take.
    let claimed = book.find("t").unwrap();
    let at = Claim { by: "bob".to_owned(), at_ms: 7 };
    assert_eq!((claimed.deadline_ms, claimed.state, &claimed.claim), (10, Placed, &Some(at)));
    let asked = book.take_expired(0, 10, 0);
    assert_eq!((asked[0].state, &asked[0].claim), (Escalated, &None));
    // Whoever works on the hold of a subject works on no payment of it.
    let mut book = with_subject(Otherwise::Release);
    assert_eq!(by("ann", &mut book, "s", claim(None)).unwrap().len(), 1);
}

/// Its subject was escalated meanwhile, which must not keep it from what comes without an answer.
#[test]
fn a_challenge_under_an_escalated_subject_becomes_a_plain_hold_when_that_goes() {
    use HoldState::{Escalated, Expired, Released};
    let mut book = HoldBook::default();
    let next = Some(Stage { for_ms: 40, queue: Some("seniors".to_owned()) });
    let subject = Hold { all_payments: true, next, ..hold("s", 100) };
    let unanswered = Some(Stage { for_ms: 30, queue: None });
    let (under, challenge) = (vec!["s".to_owned()], Some(waits_for("sms")));
    let follows =
        Hold { under, challenge, has_deadline: false, next: unanswered, ..hold("a", 100) };
    for held in [subject, follows] {
        book.place(0, EntityKey::of_text(held.hold_id.as_bytes()), held);
    }
    let both = all(&[("a", Escalated, 140), ("s", Escalated, 140)]);
    assert_eq!(sorted(expired(&mut book, 0, 100)), both);
    // Its thirty begin now, at 110 of the state's clock.
    let ask = Ask { what: AskedFor::Release, expected: None };
    let released = book.act("s", &ask, Asker { actor: "ann", at_ms: 110 }, 110).unwrap();
    let expected = all(&[("a", Escalated, 140), ("s", Released, 140)]);
    assert_eq!(sorted(told(&released)), expected);
    assert_eq!(expired(&mut book, 0, 140), all(&[("a", Expired, 140)]));
}

#[test]
fn saved_holds_read_back_with_all_that_they_say() {
    let mut book = with_subject(Otherwise::Block);
    let next = Some(Stage { for_ms: 40, queue: Some("seniors".to_owned()) });
    let parties = vec![("customer".to_owned(), EntityKey(7))];
    let challenge = Some(Challenge { parties, ..waits_for("sms") });
    let amount = Some(("1.00".to_owned(), "EUR".to_owned()));
    let claim = Some(Claim { by: "ann".to_owned(), at_ms: 9 });
    let full = Hold { next, challenge, claim, amount, score: 70, ..hold("full", 10) };
    book.place(1, EntityKey::of_text(b"full"), full);
    let mut bytes = Vec::new();
    book.begin_save();
    assert!(book.save_part(1 << 20, &mut Encoder::new(&mut bytes)));
    let mut loaded = HoldBook::default();
    loaded.load(2, &mut Decoder::new(&bytes)).unwrap();
    assert_eq!(loaded.holds, book.holds);
    assert_eq!((loaded.n_open(), loaded.bytes()), (book.n_open(), book.bytes()));
    assert_eq!(loaded.open_bytes(), book.open_bytes());
    assert_eq!((loaded.deadlines, loaded.followers), (book.deadlines, book.followers));
    assert_eq!((loaded.waiting.len(), loaded.waiting), (1, book.waiting));
}
