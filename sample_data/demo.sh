#!/bin/sh
# From a real file to labelled regimes: monthly tropical SST, 2006-2010.
# Usage: demo.sh FOLDER_OF_FACONV FOLDER_FOR_RESULTS
set -eu
bin=$1
out=$2
here=$(dirname "$0")
mkdir -p "$out"
run() {
    echo "\$ faconv $*"
    "$bin/faconv" "$@"
}

run inspect "$here/ostia_monthly.nc"
run train "$here/ostia_monthly.nc" -o "$out/sst.pt" --overwrite
run embed --checkpoint "$out/sst.pt" "$here/ostia_monthly.nc" "$out/sst_embedding.nc" \
    --query 0,-140 --overwrite
run cluster "$out/sst_embedding.nc" -o "$out/sst_regimes.nc" -k 3 --data "$here/ostia_monthly.nc" \
    --figure "$out/sst_regimes.png" --overwrite

# the same record as GRIB, where the variable has another name
run embed --checkpoint "$out/sst.pt" --variables surface_temperature=sst "$here/ostia_monthly.grib" \
    "$out/sst_embedding_grib.nc" --query 0,-140 --overwrite
"$bin/python" "$here/enso.py" "$out"

# a generated record whose regimes differ only in the direction a wave travels
run sample planted "$out/motion.nc" --kind motion --overwrite
run train "$out/motion.nc" -o "$out/motion.pt" --encoder eof --overwrite
run embed --checkpoint "$out/motion.pt" "$out/motion.nc" "$out/motion_embedding.nc" --overwrite
for method in kmeans hmm-ar; do
    run cluster "$out/motion_embedding.nc" -o "$out/motion_$method.nc" -k 2 --method $method --overwrite
done
"$bin/python" "$here/motion.py" "$out"
