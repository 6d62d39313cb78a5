"""The same for the multiple-choice tasks, and all cases together."""

from __future__ import annotations

from task_fixtures import BINARY_CASES, RIVER, Case, Record, other, rows


def _lettered(*texts: str) -> Record:
    return {"text": list(texts), "label": [chr(ord("A") + number) for number in range(len(texts))]}


_COSMOS = "id context question answer0 answer1 answer2 answer3 label"
_NOT = "None of the above choices ."
_DIALOGUE = ["M: The train is late again.", "W: Then we walk."]


CHOICE_CASES: dict[str, Case] = {
    "cosmosqa": Case(
        rows(
            _COSMOS,
            ("q1", RIVER, "What broke ?", "The mill .", "The sky .", "A cup .", _NOT, 0),
            ("q2", RIVER, "What may come ?", "A feast .", _NOT, "Repairs .", "Snow .", 2),
            ("q3", "Owls hunt .", "Who hunts ?", "Owls .", "Mice .", "Mills .", _NOT, 0),
        ),
        ["The mill .", "Repairs .", "Owls ."],
        "aab",
        lambda record: record | {"label": {0: 2, 2: 0}[record["label"]]},
        ("context", "question"),
    ),
    "dream": Case(
        rows(
            "id dialogue_id dialogue question choice answer",
            (0, "4-1", _DIALOGUE, "What will they do?", ["Wait.", "Walk.", "Drive."], "Walk."),
            (1, "4-1", _DIALOGUE, "What is late?", ["A bus.", "A train.", "A ship."], "A train."),
            (0, "5-2", ["W: The soup is cold."], "What is cold?", ["Soup.", "Tea.", "Rain."], "Soup."),
        ),
        ["Walk.", "A train.", "Soup."],
        "aab",
        lambda record: record | {"answer": next(text for text in record["choice"] if text != record["answer"])},
        ("question",),
    ),
    "hellaswag": Case(
        rows(
            "ind ctx endings source_id label",
            (4, "A man waxes skis. He", ["skis off.", "eats wax.", "is a ski.", "sings wax."], "activitynet~v_1", "0"),
            (5, "A man waxes skis. Then he", ["melts.", "rests.", "is wax.", "skis snow."], "activitynet~v_1", "1"),
            (6, "How to boil rice. First", ["boil water.", "boil ice.", "fry it.", "wait."], "wikihow~7", "0"),
        ),
        ["skis off.", "rests.", "boil water."],
        "aab",
        other("label", ("0", "1", "2", "3")),
        ("ctx",),
    ),
    "openbookqa": Case(
        [
            {
                "id": "1",
                "question_stem": "Stars are",
                "choices": _lettered("gas", "wax", "ice", "wood"),
                "answerKey": "A",
            },
            {
                "id": "2",
                "question_stem": "Owls eat",
                "choices": _lettered("sun", "mice", "bark", "ink"),
                "answerKey": "B",
            },
            {
                "id": "3",
                "question_stem": "Ice is",
                "choices": _lettered("hot", "red", "cold", "a cat"),
                "answerKey": "C",
            },
        ],
        ["gas", "mice", "cold"],
        "abc",
        other("answerKey", ("A", "B", "C", "D")),
        ("question_stem",),
    ),
    "quail": Case(
        rows(
            "id context_id context question question_type answers correct_answer_id",
            (
                "f1_0",
                "f1",
                RIVER,
                "What flooded?",
                "Factual",
                ["the river", "not enough information", "fog", "ice"],
                0,
            ),
            ("f1_1", "f1", RIVER, "Who built it?", "Unanswerable", ["owls", "not enough information", "he", "we"], 1),
            ("f2_0", "f2", "Owls hunt.", "Who hunts?", "Factual", ["mice", "not enough information", "owls", "I"], 2),
        ),
        ["the river", "not enough information", "owls"],
        "aab",
        other("correct_answer_id", (0, 1, 2, 3)),
        ("context", "question"),
    ),
    "piqa": Case(
        rows(
            "goal sol1 sol2 label",
            ("Dry a shirt", "Hang it in the sun.", "Hang it in the sea.", 0),
            ("Dry a shirt", "Put it under water.", "Iron it.", 1),
            ("Cut bread", "Use a spoon.", "Use a knife.", 1),
        ),
        ["Hang it in the sun.", "Iron it.", "Use a knife."],
        "aab",
        other("label"),
        ("goal",),
    ),
    "quartz": Case(
        [
            {
                "id": "1",
                "question": "More sun means",
                "choices": _lettered("heat", "cold"),
                "answerKey": "A",
                "para": "Sun heats.",
            },
            {
                "id": "2",
                "question": "Less sun means",
                "choices": _lettered("heat", "cold"),
                "answerKey": "B",
                "para": "Sun heats.",
            },
            {
                "id": "3",
                "question": "Ice makes tea",
                "choices": _lettered("hot", "cool"),
                "answerKey": "B",
                "para": "Ice cools.",
            },
        ],
        ["heat", "cold", "cool"],
        "aab",
        other("answerKey", ("A", "B")),
        ("para", "question"),
    ),
    "sciq": Case(
        rows(
            "question distractor1 distractor2 distractor3 correct_answer support",
            ("What do plants breathe in?", "wax", "ink", "salt", "carbon dioxide", "Plants take carbon dioxide."),
            ("What is ice?", "gas", "ink", "glass", "frozen water", ""),
            ("What do owls hunt?", "kelp", "bread", "sand", "mice", ""),
        ),
        ["carbon dioxide", "frozen water", "mice"],
        "abc",
        lambda record: record | {"correct_answer": record["distractor1"], "distractor1": record["correct_answer"]},
        ("question",),
    ),
    "social-iqa": Case(
        rows(
            "context question answerA answerB answerC label",
            ("Ada fed the cat.", "Why did Ada do this?", "it was hungry", "it was blue", "it was late", "1"),
            ("Ada fed the cat.", "What will the cat do?", "fly", "purr", "read", "2"),
            ("Ben fell.", "How does Ben feel?", "green", "tall", "sore", "3"),
        ),
        ["it was hungry", "purr", "sore"],
        "aab",
        other("label", ("1", "2", "3")),
        ("context", "question"),
    ),
}

CASES = BINARY_CASES | CHOICE_CASES
