#!/bin/sh
# The card payments of the file as records of the shipped rules' wallet schema, one a line. What the file does not say is the
# same for all, or absent: the card is the customer's, every payment was approved, and there is no device and no address.
#   sh examples/cards-2018/as_wallet.sh cards.csv.zst | zstd > wallet.ndjson.zst
set -eu
zstd -dcf "$1" | awk -F, 'NR > 1 {
  printf "{\"type\":\"card_payment\",\"id\":\"%s\",\"created_at\":\"%s\",", $1, $2
  printf "\"user\":{\"id\":\"%s\",\"segment\":\"personal\",\"home_country\":\"BE\",\"account_age_days\":365},", $3
  printf "\"card\":{\"id\":\"%s\",\"bin\":\"000000\",\"country\":\"BE\"},", $3
  printf "\"merchant\":{\"id\":\"%s\",\"mcc\":\"0000\",\"country\":\"BE\"},", $4
  printf "\"amount\":{\"value\":\"%s\",\"currency\":\"EUR\"},\"entry_mode\":\"chip\",\"result\":{\"status\":\"approved\"}}\n", $5
}'
