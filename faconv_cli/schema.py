"""Names and flags in the files faconv writes: the one place that spells them."""

from typing import Final

CONVENTIONS: Final = "CF-1.11"
CHECKPOINT_SHA256: Final = "faconv_checkpoint_sha256"  # global attribute of every file made from a checkpoint

CHANNELS: Final = "faconv_channels"  # global attribute of an embedding: names of what was embedded
TIME_STEP: Final = "faconv_time_step"  # global attribute: usual step of what was embedded, seasons apart
SOURCES: Final = "faconv_sources"  # global attribute: files that were read
CONFIG: Final = "faconv_config"  # global attribute of what a checkpoint made: its settings, as JSON
TRAINING: Final = "faconv_training"  # global attribute of the same: what it was trained on, as JSON

ANOMALY: Final = "faconv_anomaly"  # attribute of a prepared variable: what was taken off it

EMBEDDING: Final = "embedding"
TILE_EMBEDDING: Final = "tile_embedding"
EMBEDDING_FLAG: Final = "embedding_flag"
FINGERPRINT: Final = "input_fingerprint"
ATTENTION: Final = "attention"
TEMPORAL_ATTENTION: Final = "temporal_attention"
TELECONNECTION: Final = "teleconnection"
TIME: Final = "time"
MODE: Final = "mode"
LAG: Final = "lag"
QUERY: Final = "query"
TILE: Final = "tile"
ATTENTION_TIME: Final = "attention_time"

# embedding_flag(time)
OK: Final = 0
COLD_START: Final = 1
MISSING_INPUT: Final = 2
FLAG_MEANINGS: Final = {OK: "ok", COLD_START: "cold_start", MISSING_INPUT: "missing_input"}

REGIME: Final = "regime"
REGIME_TRUE: Final = "regime_true"
REGIME_DISTANCE: Final = "regime_distance"
REGIME_PROBABILITY: Final = "regime_probability"
REGIME_PROBABILITIES: Final = "regime_probabilities"
CENTROID: Final = "centroid"
TRANSITION: Final = "transition_probability"
COMPOSITE: Final = "composite"
CLUSTER: Final = "cluster"
NEXT_CLUSTER: Final = "next_cluster"

FORECAST_REFERENCE_TIME: Final = "forecast_reference_time"
FORECAST_PERIOD: Final = "forecast_period"
LEAD: Final = "lead"
VALID_TIME: Final = "valid_time"
VERIFIED: Final = "verified"
RMSE: Final = "rmse"
ACC: Final = "acc"

# dimensions and coordinates of our files, which those of a grid must not be called
TAKEN: Final = frozenset(
    {
        *("lat", "lon", TIME, MODE, LAG, QUERY, TILE, ATTENTION_TIME, CLUSTER, NEXT_CLUSTER, REGIME),
        *(
            "k",
            "other_mode",
            LEAD,
            VALID_TIME,
            FORECAST_REFERENCE_TIME,
            FORECAST_PERIOD,
            EMBEDDING,
            ATTENTION,
        ),
    }
)
