#!/usr/bin/env bash
# prepare.sh ATTUNE SOURCE_DIR FOLDER: a folder with the files that pages of docs speak of, small enough that each command
# takes a moment.
set -euo pipefail
attune=$1 source=$2 folder=$3
golden=$source/tests/golden

rm -rf "$folder"
mkdir -p "$folder/bin" "$folder/examples" "$folder/build/quickstart"
cd "$folder"
# A few epochs and trials do, where the last of two options counts.
cat > bin/attune <<END
#!/bin/sh
case "\$*" in
  train*--privacy-epsilon* | train*"--preset "[pmier]*) exec "$attune" "\$@" ;;
  train*) exec "$attune" "\$@" --epochs 2 ;;
  tune*) exec "$attune" "\$@" --epochs 3 --trials 3 ;;
esac
exec "$attune" "\$@"
END
chmod +x bin/attune
cp "$source/examples/search_space.json" examples/

# 240 users who walk from item to item, one step an hour; the films of the README among these.
walk() {  # walk FIRST_STEP LAST_STEP SEPARATOR
  awk -v from="$1" -v to="$2" -v OFS="$3" 'BEGIN {
    for (user = 1; user <= 240; ++user) {
      for (step = from; step <= to; ++step) {
        item = (7 * user + step * (1 + user % 3)) % 40
        name = item == 37 ? "114369" : item == 38 ? "110912" : item == 39 ? "435761" : "i" item + 1
        print "u" user, name, 3 + (user + step) % 3, 1740000000 + 3600 * (50 * step + user % 50)
      }
    }
  }'
}
{ echo user,item,rating,timestamp; walk 0 11 ,; } > events.csv
{ echo user,item,rating,timestamp; walk 12 13 ,; } | tee today.csv > week.csv
xz -k events.csv
walk 0 11 :: > ratings.dat
awk -F, 'NR == 1 {print; next} {print $1 "," $2 "," $3 "," $4 - $4 % 180000}' events.csv > orders.csv
awk -F, 'NR > 1 {printf "{\"u\": \"%s\", \"i\": \"%s\", \"r\": %s, \"t\": %s}\n", $1, $2, $3, $4}' events.csv | gzip > events.jsonl.gz
"$attune" convert --quiet events.csv ml-100k.inter > /dev/null
awk -F, -v OFS='\t' 'NR > 1 {print substr($1, 2), $2 ~ /^i/ ? substr($2, 2) : $2, $3, $4}' events.csv > u.data
for item in $(seq 1 37) 114369 110912 435761; do echo "$item|Title $item (1995)|01-Jan-1995||http://no.where/|0|0|1$(printf '|0%.0s' {1..16})"; done > u.item
for item in 1 2 3; do echo "$item::Film $item (1995)::Drama|War"; done > movies.dat

awk 'BEGIN {
  print "item,title,description,genres,year,brand,price,p0,p1,p2,p3"
  split("Drama|War,Drama,Comedy,War", genres, ",")
  for (n = 1; n <= 40; ++n) {
    id = n == 38 ? "114369" : n == 39 ? "110912" : n == 40 ? "435761" : "i" n
    printf "%s,Title %d w5,Of %d w7,%s,%d,%s,%d,%.2f,%.2f,%.2f,1\n", id, n, n, genres[1 + n % 4], 1990 + n, n % 2 ? "a" : "b", n,
      n / 40, 1 - n / 40, n % 5 / 5
  }
}' > items.csv
awk 'BEGIN { print "user,age,gender"; for (n = 1; n <= 240; ++n) print "u" n "," 20 + n % 50 "," (n % 3 ? "F" : "M") }' > users.csv
cat > schema.json <<'END'
{"items": [{"name": "genres", "type": "category"}, {"name": "year", "type": "number"}, {"name": "title", "type": "text"},
           {"name": "poster", "type": "vector", "columns": "p0..p3"}],
 "users": [{"name": "age", "type": "number"}, {"name": "gender", "type": "category"}]}
END
printf 'user,friend\nu42,u43\nu43,u44\n' > friends.csv
echo '{"adam": {"learning_rate": {"log_uniform": [1e-3, 1e-2]}}}' > space.json
echo '{"cutoffs": [1, 2], "recommended": [["a", "b"]], "relevant": [["b"]], "train_item_count": {"a": 3, "b": 1}}' > lists.json
printf 'propensity,reward,target_probability\n0.5,1,1\n0.5,0,0\n' > log.csv
cp "$golden/recbole_sasrec_gelu_d64_h2.safetensors" weights.safetensors
cp "$golden/pmixer_sasrec_preln_d32_h2.safetensors" sasrec.safetensors
seq -f i%g 120 > ids.txt
cp -r "$golden/bert_d24_l2_h2" bert
ln -s bert all-MiniLM-L6-v2

"$attune" train --quiet --epochs 2 --interactions events.csv --items items.csv --users users.csv --schema schema.json \
  --output model > /dev/null
cp -r model model-v2
cp -r model build/quickstart/model
"$attune" compress --quiet model --output small > /dev/null
