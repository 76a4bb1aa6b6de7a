"""A student of one's own, trained with Lightning: python lightning_student.py RUN ROWS.csv ID_COLUMN TEXT_COLUMN"""

import sys

import lightning
import pandas
import torch
from torch.utils.data import DataLoader, default_collate

import suffuse.losses


class Student(lightning.LightningModule):
    def __init__(self, classes):
        super().__init__()
        self.network = torch.nn.Sequential(torch.nn.EmbeddingBag(1000, 32), torch.nn.Linear(32, classes))

    def training_step(self, batch, _):
        logits = self.network(batch["words"])
        return suffuse.losses.kd(logits, batch["logits"], 2.0) + suffuse.losses.task(logits, batch["label"])

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=0.01)


def main(run, rows, id_column, text_column):
    texts = pandas.read_csv(rows, dtype=str, keep_default_na=False).set_index(id_column)[text_column]
    knowledge = suffuse.Knowledge.open(run, split="train", taps=["logits"])

    def collate(items):
        words = [[sum(word.encode()) % 1000 for word in texts[item["id"]].split()[:20]] for item in items]
        return {**default_collate(items), "words": torch.tensor([(ids + [0] * 20)[:20] for ids in words])}

    student, loader = Student(len(knowledge.classes)), DataLoader(knowledge, 16, shuffle=True, collate_fn=collate)
    lightning.Trainer(max_epochs=2, accelerator="cpu").fit(student, loader)
    return student


if __name__ == "__main__":
    main(*sys.argv[1:])
