#!/bin/sh
# The card payments of the file as records of the shipped rules' schemas, one a line. What the file does not say is the
# same for all, or absent: the card is the customer's, every payment was approved, and there is no device and no address.
# A fraud comes back as a chargeback of the bank a week later: nobody can know its label before.
# With `transfer` behind the file each payment is money that the customer sends to the terminal instead.
#   sh examples/cards-2018/as_wallet.sh cards.csv.zst | zstd > wallet.ndjson.zst
#   sh examples/cards-2018/as_wallet.sh cards.csv.zst transfer | zstd > transfers.ndjson.zst
set -eu
zstd -dcf "$1" | awk -F, -v kind="${2:-card_payment}" '
function week_later(time,  year, month, day, last) {
  year = substr(time, 1, 4) + 0; month = substr(time, 6, 2) + 0; day = substr(time, 9, 2) + 7
  last = month == 2 ? (year % 4 == 0 ? 29 : 28) : month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31
  if (day > last) { day -= last; month++ }
  if (month > 12) { month = 1; year++ }
  return sprintf("%04d-%02d-%02d%s", year, month, day, substr(time, 11))
}
NR == 1 { next }
{
  for (; first < n_due && due[first] <= $2; first++) { print record[first]; delete due[first]; delete record[first] }
  printf "{\"type\":\"" kind "\",\"id\":\"%s\",\"created_at\":\"%s\",", $1, $2
  printf "\"user\":{\"id\":\"%s\",\"segment\":\"personal\",\"home_country\":\"BE\",\"account_age_days\":365},", $3
  if (kind == "transfer") {
    printf "\"from\":{\"account\":\"customer-%s\"},", $3
    printf "\"to\":{\"account\":\"terminal-%s\",\"country\":\"BE\",\"account_age_days\":365},", $4
  } else {
    printf "\"card\":{\"id\":\"%s\",\"bin\":\"000000\",\"country\":\"BE\"},", $3
    printf "\"merchant\":{\"id\":\"%s\",\"mcc\":\"0000\",\"country\":\"BE\"},", $4
    printf "\"entry_mode\":\"chip\",\"result\":{\"status\":\"approved\"},"
  }
  printf "\"amount\":{\"value\":\"%s\",\"currency\":\"EUR\"}}\n", $5
}
$6 == 1 {
  due[n_due] = week_later($2)
  text = "{\"header\":{\"type\":\"chargeback\",\"id\":\"cb" $1 "\",\"created_at\":\"" due[n_due] "\"},"
  text = text "\"customer\":{\"number\":\"" $3 "\"},\"card\":{\"token\":\"" $3 "\"},\"acceptor\":{\"id\":\"" $4 "\"},"
  text = text "\"amount\":{\"value\":\"" $5 "\",\"currency\":\"EUR\"},\"dispute\":{\"stage\":\"opened\",\"card_present\":true}}"
  record[n_due++] = text
}'
