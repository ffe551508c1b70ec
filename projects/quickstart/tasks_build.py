"""Writes the held-out task files: JSONL items beside YAML definitions in the style of lm-evaluation-harness."""

import json
from pathlib import Path

import lines
import words

ITEMS = 400
PLAIN = {
    "retrieval": ("loglikelihood", "{{text}}\\nQuestion: what do we call the {{field}}?\\nAnswer: we call the {{field}}", "{{answer}}", "distance"),
    "knowledge": ("multiple_choice", "{{examples}}Question: {{question}}\\nAnswer:", "{{answer}}", "attribute"),
    "arithmetic": ("loglikelihood", "Compute {{problem}}.\\nSteps:", "{{worked}}", "steps"),
}
CHAT = {
    "retrieval": ("loglikelihood", "{{text}}\\nWhat do we call the {{field}}?", "We call the {{field}} {{answer}}.", "distance"),
    "knowledge": ("multiple_choice", "{{asked}}", "{{answer}}", "attribute"),
    "arithmetic": ("loglikelihood", "Compute {{problem}}.", "{{worked}}.", "steps"),
}


def retrievalItem(maker, index):
    """A text of 150 to 200 tokens with 6 to 9 stated fields, one asked; distances come in turn, so that each gets a third."""
    wanted = ["near", "middle", "far"][index % 3]
    while True:
        fields = maker.rng.sample(words.FIELDS, maker.rng.randint(6, 9))
        text, _, values, distances = maker.statedText(fields, maker.rng.randint(150, 200))
        for field in fields:
            group = "near" if distances[field] <= 50 else "middle" if distances[field] <= 110 else "far"
            if group == wanted:
                return {"text": text, "field": field, "answer": values[field], "distance": wanted,
                        "tokens_back": distances[field]}


def knowledgeItem(maker, index):
    """A fact in the one question form that training never asked about it, after two solved questions."""
    fact = maker.factKeys[index * 7919 % len(maker.factKeys)]
    examples = ""
    for other in maker.rng.sample([key for key in maker.factKeys if key != fact], 2):
        asked, place, _ = maker.choiceQuestion(other)
        examples += "Question: %s\nAnswer: %s\n" % (asked, lines.LETTERS[place])
    asked, place, _ = maker.choiceQuestion(fact, heldOut=True)
    return {"examples": examples, "question": asked, "asked": lines.capital(asked), "answer": place,
            "attribute": fact[1], "name": fact[0], "value": maker.facts[fact]}


def arithmeticItem(maker, index):
    """A sum that training never shows, with 2, 3 or 4 steps in turn."""
    steps = 2 + index % 3
    asked, worked = maker.problem(steps, heldOut=True)
    return {"problem": asked, "worked": worked, "steps": steps}


def definition(name, kind, file, chat):
    output, context, target, group = (CHAT if chat else PLAIN)[kind]
    rows = ["task: %s" % name, "dataset_path: json", "dataset_kwargs:", "  data_files: %s" % file,
            "test_split: train", "output_type: %s" % output, 'doc_to_text: "%s"' % context]
    if output == "multiple_choice":
        rows += ["doc_to_target: answer",
                 'doc_to_choice: ["%s"]' % '", "'.join(("Answer: " + c if chat else c) for c in lines.LETTERS)]
    else:
        rows += ['doc_to_target: "%s"' % target]
    rows += ['target_delimiter: "%s"' % ("" if chat else " "), "metric_list:", "  - metric: acc", "    aggregation: mean",
             "    higher_is_better: true", "metadata:", "  version: 1.0",
             "  objective: %s" % ("negative_loss" if kind == "knowledge" else "accuracy"), "  group_by: %s" % group]
    if chat:
        rows += ["  chat: true"]
    return "\n".join(rows) + "\n"


def writeTasks(folder, seed):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    makers = {"retrieval": retrievalItem, "knowledge": knowledgeItem, "arithmetic": arithmeticItem}
    facts = words.makeFacts(seed)
    for kind, make in makers.items():
        maker = lines.Maker("held-out-%s-%d" % (kind, seed), facts)
        with open(str(folder / (kind + ".jsonl")), "w", encoding="utf-8") as out:
            for index in range(ITEMS):
                out.write(json.dumps(make(maker, index)) + "\n")
        for chat in (False, True):
            name = "chat-" + kind if chat else kind
            (folder / (name + ".yaml")).write_text(definition(name, kind, kind + ".jsonl", chat), encoding="utf-8")
