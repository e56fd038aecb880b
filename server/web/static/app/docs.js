/** The API's page: Swagger UI over our own document, without anything from elsewhere. */

const place = /** @type {HTMLElement} */ (document.getElementById("api-docs"));

/** @type {any} */ (window).SwaggerUIBundle({
  url: place.dataset.document,
  domNode: place,
  deepLinking: true,
  validatorUrl: null,
  // The page around it has the one landmark and the one heading of the first rank.
  onComplete: () => {
    for (const part of place.querySelectorAll("main")) part.setAttribute("role", "group");
    for (const title of place.querySelectorAll("h1")) title.setAttribute("aria-level", "2");
  },
});
