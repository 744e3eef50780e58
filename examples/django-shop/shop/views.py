from django.core.paginator import Paginator
from django.db.models import Avg
from django.http import HttpResponseBadRequest
from django.shortcuts import get_object_or_404, render
from django.views.generic import DetailView

from . import pricing, ranking
from .models import Cart, Category, Product


def product_list(request, slug=None):
    products = Product.objects.available()
    category = None
    if slug is not None:
        category = get_object_or_404(Category, slug=slug)
        products = products.filter(category=category)
    page = Paginator(products, 20).get_page(request.GET.get("page"))
    return render(request, "shop/list.html", {"page": page, "category": category})


class ProductPage(DetailView):
    model = Product
    template_name = "shop/product.html"

    def get_context_data(self, **kwargs):
        context = super().get_context_data(**kwargs)
        reviews = list(self.object.reviews.all())
        context.update(
            reviews=reviews,
            stars=self.object.reviews.aggregate(mean=Avg("stars"))["mean"],
            bundles=[(n, pricing.format_money(pricing.line_total(self.object.price, n))) for n in (1, 5, 20, 50)],
            similar=self.similar(),
        )
        return context

    def similar(self):
        others = Product.objects.available().filter(category=self.object.category).exclude(pk=self.object.pk)[:24]
        return ranking.rank(others, ranking.words_of(self.object.name), limit=4)


def cart_total(request, number):
    cart = get_object_or_404(Cart, number=number)
    lines = list(cart.lines.select_related("product__category"))
    try:
        totals = pricing.cart_totals([(line.product.price, line.quantity) for line in lines], cart.country)
    except pricing.UnknownCountry as error:
        return render(request, "shop/cart.html", {"cart": cart, "lines": lines, "error": str(error)}, status=409)
    labels = [(name, pricing.format_money(cents)) for name, cents in totals._asdict().items()]
    return render(request, "shop/cart.html", {"cart": cart, "lines": lines, "labels": labels})


def search(request):
    wanted = ranking.words_of(request.GET.get("q", ""))[:8]
    if not wanted:
        return HttpResponseBadRequest("Give words to search for: ?q=...")
    found = Product.objects.available().containing(wanted)[:30]
    ranked = [(product, ranking.excerpt(product.description, wanted)) for product in ranking.rank(found, wanted)]
    return render(request, "shop/search.html", {"query": " ".join(wanted), "ranked": ranked})
