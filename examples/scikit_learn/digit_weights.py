"""What the first layer of a network looks for in pictures of digits: its weights, drawn as pictures themselves.

Run it with a file name to keep the pictures: python digit_weights.py weights.png
"""

import sys

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from chainrule import MLPClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16.0, y, test_size=0.3, random_state=0)

# Eight epochs are not enough, which a ConvergenceWarning says: they are enough for a look.
model = MLPClassifier(
    (16,), alpha=1e-4, solver="sgd", learning_rate_init=0.2, max_iter=8, verbose=10, random_state=1
).fit(X_train, y_train)
print(f"accuracy: {model.score(X_train, y_train):.4f} in training, {model.score(X_test, y_test):.4f} in the test")

A = model.coefs_[0]  # 64 pixels × 16 units
print(f"weights from {A.min():.4f} to {A.max():.4f}")
shades = " .:-=+*#%@"
most = np.abs(A).max()
for unit in np.argsort(-np.abs(A).sum(axis=0))[:3]:
    print(f"unit {unit}:")
    tenths = np.clip((A[:, unit] / most + 1) / 2 * 10, 0, 9.99).astype(int)
    for line in tenths.reshape(8, 8):
        print("   ", "".join(2 * shades[t] for t in line))

if len(sys.argv) > 1:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(4, 4)
    for ax, weights in zip(axes.ravel(), A.T, strict=True):
        ax.matshow(weights.reshape(8, 8), cmap="gray", vmin=-most / 2, vmax=most / 2)
        ax.set(xticks=(), yticks=())
    figure.savefig(sys.argv[1])
