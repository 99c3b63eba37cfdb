// SPDX-License-Identifier: Apache-2.0

// A wholesaler on the real orders of his customers: what goes into the next basket, what else to offer, with a
// promotion and a coupon.
//   shop ITEMS MODEL_DIRECTORY CUSTOMER COUPON_ITEM
// ITEMS is a file with the columns item, title and median_price; the model knows that goods are bought again:
//   attune train --interactions data/online-retail-core.interactions.csv.xz --split temporal:0.9 --basket --seen keep
//     --output model

#include <attune/data/reader.hpp>
#include <attune/error.hpp>
#include <attune/recommender.hpp>
#include <attune/serving/policy.hpp>
#include <cstdio>
#include <iostream>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace {

struct Product {
  std::string title, price;
};
using Products = std::map<std::string, Product, std::less<>>;

Products read_products(const std::string& file) {
  attune::DelimitedReader reader{file};
  const std::size_t item = reader.required_column("item"), title = reader.required_column("title"),
                    price = reader.required_column("median_price");
  Products products;
  for (std::vector<std::string_view> fields; reader.next(fields);) {
    if (fields.size() != reader.columns().size()) continue;
    products.emplace(fields[item], Product{std::string(fields[title]), std::string(fields[price])});
  }
  return products;
}

// The catalogue learns prices and, for the caps, what kind of thing each is: the last word of its title.
void stock(attune::Recommender& shop, const Products& products) {
  std::vector<attune::Item> items;
  for (const auto& [id, product] : products) {
    const std::string_view kind = std::string_view(product.title).substr(product.title.rfind(' ') + 1);
    items.push_back({.id = id, .fields = {{"kind", kind}, {"price", std::stod(product.price)}}});
  }
  shop.upsert_items(items);
}

void print(const std::string& heading, const attune::Answer& answer, const Products& products) {
  std::printf("%s (by the %s)\n", heading.c_str(), std::string(attune::to_string(answer.source)).c_str());
  for (const attune::Recommendation& item : answer.items) {
    const auto product = products.find(attune::to_string(item.item));
    if (product == products.end()) continue;
    std::printf("  %8s  %s%s\n", product->second.price.c_str(), product->second.title.c_str(),
                item.pinned ? "  (coupon)" : "");
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::cerr << "usage: shop ITEMS MODEL_DIRECTORY CUSTOMER COUPON_ITEM\n";
    return 2;
  }
  try {
    const Products products = read_products(argv[1]);
    auto shop = attune::Recommender::open(
        argv[2], {.item_fields = {{"kind", attune::FieldType::category}, {"price", attune::FieldType::number}}});
    stock(shop, products);
    const std::string customer = argv[3];

    // What he bought counts in the next basket, but not what came within the last week.
    constexpr std::int64_t kWeek = 7 * 24 * 3600 * 1000LL;
    const auto basket = shop.recommend({.user = customer, .k = 6, .exclude_seen = false});
    print("Next basket of " + customer, basket, products);
    print("\nOf that, what he did not buy within a week of his last order",
          shop.recommend({.user = customer, .k = 6, .cool_down = kWeek}), products);

    // What he never had: small things are on sale, at most two of a kind, and his coupon stands first.
    const attune::Policy promotion = shop.compile({.boosts = {{"price < 1", 2.0f}}, .caps = {{"kind", 2}}});
    const attune::PinnedItem coupon[] = {{argv[4], 0}};
    print("\nNew to him, on sale", shop.recommend({.user = customer, .k = 6, .policy = &promotion, .pinned = coupon}),
          products);

    // He puts the first of it into his basket: the next offer goes with it.
    shop.observe({.user = customer, .item = coupon[0].item});
    print("\nAfter he took the coupon", shop.recommend({.user = customer, .k = 6, .policy = &promotion}), products);
  } catch (const std::exception& error) {
    std::cerr << "shop: " << error.what() << '\n';
    return 1;
  }
}
