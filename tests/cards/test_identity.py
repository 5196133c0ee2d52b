from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from app.cards import identity
from app.cards.identity import Ask, New, Same, Text

ADAM = Text(
    "adam", "What is Adam?", "Momentum and a running mean of squared gradients, both corrected for their start."
)
RELU = Text("relu", "Why ReLU?", "It is cheap, does not saturate on one side, and keeps gradients alive.")


def edited(
    text: Text, key: str, *, heading: str | None = None, body: str | None = None, stamp: str | None = None
) -> Text:
    return Text(key, heading or text.heading, body or text.body, stamp)


def test_the_stamp_decides_even_when_the_text_is_another_cards() -> None:
    assert identity.match([ADAM, RELU], [edited(RELU, "new.md", stamp="adam")]) == [Same("new.md", "adam", "stamp")]


def test_an_unknown_stamp_makes_a_new_card_even_with_a_known_body() -> None:
    assert identity.match([ADAM], [edited(ADAM, "new.md", stamp="other")]) == [New("new.md")]


def test_the_same_body_under_another_heading_is_the_same_card() -> None:
    assert identity.match([ADAM, RELU], [edited(ADAM, "n", heading="Explain Adam")]) == [Same("n", "adam", "body")]


def test_the_same_heading_over_another_body_is_the_same_card() -> None:
    assert identity.match([ADAM, RELU], [edited(ADAM, "n", body="Rewritten.")]) == [Same("n", "adam", "heading")]


def test_half_of_the_words_are_enough_when_only_one_card_has_them() -> None:
    changed = edited(ADAM, "n", heading="How does Adam work?", body=ADAM.body + " It has two decay rates.")
    assert identity.match([ADAM, RELU], [changed]) == [Same("n", "adam", "similarity")]


def test_less_than_half_of_the_words_makes_a_new_card() -> None:
    assert identity.match([ADAM], [Text("n", "Why momentum?", "Steps that agree add up.")]) == [New("n")]


def test_a_text_like_two_known_cards_is_asked_about() -> None:
    twin = edited(ADAM, "adamw", heading="What is AdamW?", body=ADAM.body + " Decay apart.")
    changed = edited(ADAM, "n", heading="Tell me of Adam", body=ADAM.body + " Indeed.")
    assert identity.match([ADAM, twin], [changed]) == [Ask("n", ("adam", "adamw"))]


def test_two_texts_like_one_known_card_are_both_asked_about() -> None:
    one = edited(ADAM, "1", heading="Adam one", body=ADAM.body + " First.")
    other = edited(ADAM, "2", heading="Adam two", body=ADAM.body + " Second.")
    assert identity.match([ADAM], [one, other]) == [Ask("1", ("adam",)), Ask("2", ("adam",))]


def test_one_heading_twice_is_asked_about() -> None:
    one, other = edited(ADAM, "1", body="Short."), edited(ADAM, "2", body="Long.")
    assert identity.match([ADAM], [one, other]) == [Ask("1", ("adam",)), Ask("2", ("adam",))]


def test_white_space_and_case_are_no_change() -> None:
    loud = edited(ADAM, "n", heading="Other", body="  " + ADAM.body.upper().replace(" ", "\n"))
    assert identity.match([ADAM], [loud]) == [Same("n", "adam", "body")]


def test_empty_bodies_match_nothing() -> None:
    assert identity.match([Text("a", "Q", "")], [Text("n", "R", "")]) == [New("n")]


def test_similarity_is_dice_over_counted_words() -> None:
    assert identity.similarity("a b b c", "B b d") == 4 / 7
    assert identity.similarity("", "") == 0.0


some_words = st.lists(st.sampled_from("loss norm gate bias step seed unit".split()), max_size=6).map(" ".join)  # noqa: SIM905


def texts(prefix: str, stamps: st.SearchStrategy[str | None]) -> st.SearchStrategy[list[Text]]:
    triples = st.lists(st.tuples(some_words, some_words, stamps), max_size=6)
    return triples.map(lambda all_: [Text(f"{prefix}{n}", *triple) for n, triple in enumerate(all_)])


known_lists = texts("k", st.none())
incoming_lists = texts("n", st.none() | st.sampled_from(["k0", "k1", "k9"])).filter(
    lambda all_: len(stamps := [text.stamp for text in all_ if text.stamp]) == len(set(stamps))
)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(known_lists, incoming_lists)
def test_each_text_gets_one_answer_and_no_card_is_given_twice(known: list[Text], incoming: list[Text]) -> None:
    decisions = identity.match(known, incoming)
    assert [decision.incoming for decision in decisions] == [text.key for text in incoming]
    given_away = [decision.known for decision in decisions if isinstance(decision, Same)]
    assert len(given_away) == len(set(given_away))
    for decision in decisions:
        if isinstance(decision, Ask):
            assert decision.candidates and not set(decision.candidates) & set(given_away)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(known_lists, incoming_lists)
def test_a_stamp_is_never_overruled(known: list[Text], incoming: list[Text]) -> None:
    keys = {text.key for text in known}
    for text, decision in zip(incoming, identity.match(known, incoming), strict=True):
        if text.stamp is not None:
            expected = Same(text.key, text.stamp, "stamp") if text.stamp in keys else New(text.key)
            assert decision == expected


@settings(max_examples=200, deadline=None, derandomize=True)
@given(known_lists)
def test_unchanged_texts_are_never_new(known: list[Text]) -> None:
    incoming = [Text(f"n{n}", text.heading, text.body) for n, text in enumerate(known)]
    for text, decision in zip(known, identity.match(known, incoming), strict=True):
        if text.body or text.heading:
            assert not isinstance(decision, New)
        if isinstance(decision, Same):
            found = next(one for one in known if one.key == decision.known)
            assert identity.similarity(f"{found.heading} {found.body}", f"{text.heading} {text.body}") >= 0.5 or (
                found.heading == text.heading
            )


@settings(max_examples=200, deadline=None, derandomize=True)
@given(known_lists, incoming_lists, st.randoms(use_true_random=False))
def test_the_order_of_distinct_texts_does_not_matter(known: list[Text], incoming: list[Text], random: object) -> None:
    distinct = {(text.heading, text.body): text for text in incoming}
    kept = list(distinct.values())
    shuffled = sorted(kept, key=lambda text: hash((text.heading, text.key)))
    by_key = {decision.incoming: decision for decision in identity.match(known, kept)}
    again = {decision.incoming: decision for decision in identity.match(list(reversed(known)), shuffled)}
    if len({(text.heading, text.body) for text in known}) == len(known):
        assert by_key == again
