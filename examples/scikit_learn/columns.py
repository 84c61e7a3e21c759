"""A DataFrame of numbers, words and gaps through a ColumnTransformer into a network."""

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.impute import SimpleImputer
from sklearn.model_selection import KFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from chainrule import MLPRegressor

rng = np.random.default_rng(7)
N = 500
flats = pd.DataFrame(
    {
        "area": rng.gamma(9.0, 8.0, N).round(1),
        "year": rng.integers(1900, 2024, N).astype(float),
        "town": rng.choice(["Riverside", "Old Town", "Hillcrest"], N, p=[0.5, 0.3, 0.2]),
        "balcony": rng.choice(["yes", "no"], N),
    }
)
rent = 150 + 9 * flats["area"] + 0.04 * (flats["year"] - 1950) ** 2 + 200 * (flats["town"] == "Old Town")
rent *= rng.lognormal(0.0, 0.08, N)
flats.loc[rng.choice(N, 40, replace=False), "year"] = np.nan

columns = ColumnTransformer(
    [
        ("numbers", make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), ["area", "year"]),
        ("words", OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude="number")),
    ]
)
network = MLPRegressor(
    hidden_layer_sizes=(32, 16), learning_rate_init=0.01, max_iter=60, n_iter_no_change=60, random_state=0
)
model = TransformedTargetRegressor(make_pipeline(columns, network), func=np.log, inverse_func=np.exp)
scores = cross_validate(
    model, flats, rent, cv=KFold(3, shuffle=True, random_state=0), scoring=("r2", "neg_mean_absolute_error")
)
print("R² of three folds:", scores["test_r2"].round(4))
print("mean absolute error:", -scores["test_neg_mean_absolute_error"].round(2))

model.fit(flats, rent)
new = pd.DataFrame(
    {"area": [40.0, 80.0], "year": [2001.0, np.nan], "town": ["Old Town", "Elsewhere"], "balcony": ["no", "yes"]}
)
print("rent of new flats:", model.predict(new).round(1))

# A network that is fitted on named columns keeps the names, and warns where they are missing.
plain = MLPRegressor(hidden_layer_sizes=(8,), max_iter=30, random_state=0)
Z = StandardScaler().set_output(transform="pandas").fit_transform(flats[["area"]])
plain.fit(Z, rent / 1000)
print(
    "names:",
    plain.feature_names_in_,
    "prediction:",
    plain.predict(Z[:2]).round(4),
    plain.predict(Z[:2].to_numpy()).round(4),
)
