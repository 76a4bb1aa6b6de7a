"""A student of one's own, trained by a Trainer: python trainer_student.py RUN ROWS.csv ID_COLUMN TEXT_COLUMN"""

import sys

import pandas
import torch
from transformers import Trainer, TrainingArguments

import suffuse.losses


class Student(torch.nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.network = torch.nn.Sequential(torch.nn.EmbeddingBag(1000, 32), torch.nn.Linear(32, classes))

    def forward(self, words, teacher, labels):
        logits = self.network(words)
        loss = 0.5 * suffuse.losses.kd(logits, teacher, temperature=2.0) + 0.5 * suffuse.losses.task(logits, labels)
        return {"loss": loss, "logits": logits}


def main(run, rows, id_column, text_column, folder="trainer"):
    texts = pandas.read_csv(rows, dtype=str, keep_default_na=False).set_index(id_column)[text_column]
    knowledge = suffuse.Knowledge.open(run, split="train", taps=["logits"])

    def collate(items):
        words = [[sum(word.encode()) % 1000 for word in texts[item["id"]].split()[:20]] for item in items]
        teacher, labels = (torch.stack([item[key] for item in items]) for key in ("logits", "label"))
        return {"words": torch.tensor([(w + [0] * 20)[:20] for w in words]), "teacher": teacher, "labels": labels}

    options = {"per_device_train_batch_size": 16, "num_train_epochs": 2, "learning_rate": 0.01, "use_cpu": True}
    arguments = TrainingArguments(folder, remove_unused_columns=False, report_to=[], save_strategy="no", **options)
    student = Student(len(knowledge.classes))
    Trainer(student, arguments, data_collator=collate, train_dataset=knowledge).train()
    return student


if __name__ == "__main__":
    main(*sys.argv[1:])
